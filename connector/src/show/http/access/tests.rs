use axum::body::Body;

use super::*;

const TOKEN: &str = "0123456789abcdef";

fn request(headers: &[(HeaderName, &str)]) -> Request {
    asked(Method::GET, headers)
}

fn asked(method: Method, headers: &[(HeaderName, &str)]) -> Request {
    let request = Request::builder().method(method).uri("/");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
    request.body(Body::empty()).unwrap()
}

fn access(is_loopback: bool, token: Option<&str>) -> Access {
    Access { is_loopback, token: token.map(Secret::new) }
}

/// The status of a refusal, or 200.
fn answer(access: &Access, method: Method, headers: &[(HeaderName, &str)]) -> u16 {
    access
        .check(&asked(method, headers))
        .err()
        .map_or(200, |problem| problem.into_response().status().as_u16())
}

#[test]
fn only_names_of_this_machine_are_local() {
    for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
        assert!(is_local(&request(&[(header::HOST, host)])), "{host}");
    }
    for host in ["evil.example", "evil.example:80", "10.0.0.1", "localhost.evil.example", "", "[::2]:80"] {
        assert!(!is_local(&request(&[(header::HOST, host)])), "{host}");
    }
    assert!(!is_local(&request(&[])), "no host");
    let with_origin = |origin| is_local(&request(&[(header::HOST, "localhost"), (header::ORIGIN, origin)]));
    assert!(with_origin("http://localhost:3000"));
    assert!(!with_origin("https://evil.example"));
    assert!(!with_origin("null"));
}

#[test]
fn the_token_opens_what_changes_and_beyond_loopback_everything() {
    let right = (header::AUTHORIZATION, "Bearer 0123456789abcdef");
    for (method, is_loopback, without) in [
        (Method::GET, true, 200),
        (Method::HEAD, true, 200),
        (Method::POST, true, 401),
        (Method::PUT, true, 401),
        (Method::from_bytes(b"QUERY").unwrap(), true, 401),
        (Method::GET, false, 401),
        (Method::POST, false, 401),
    ] {
        let access = access(is_loopback, Some(TOKEN));
        assert_eq!(answer(&access, method.clone(), &[]), without, "{method} {is_loopback}");
        assert_eq!(answer(&access, method.clone(), std::slice::from_ref(&right)), 200, "{method}");
        for wrong in
            ["Bearer 0123456789abcdeF", "Bearer ", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            let sent = [(header::AUTHORIZATION, wrong)];
            assert_eq!(answer(&access, method.clone(), &sent), without, "{method} {wrong}");
        }
    }
    let lower = [(header::AUTHORIZATION, "bearer 0123456789abcdef")];
    assert_eq!(answer(&access(false, Some(TOKEN)), Method::POST, &lower), 200, "schemes have no case");
}

#[test]
fn without_a_token_the_api_is_closed_beyond_loopback() {
    for method in [Method::GET, Method::POST] {
        assert_eq!(answer(&access(false, None), method, &[]), 403);
    }
}

#[test]
fn a_page_of_another_site_neither_reads_nor_changes_on_loopback() {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let here = (header::HOST, "localhost:8080");
    let right = (header::AUTHORIZATION, "Bearer 0123456789abcdef");
    for token in [None, Some(TOKEN)] {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let sent = |sent: (HeaderName, &str)| {
                answer(&access(true, token), method.clone(), &[here.clone(), right.clone(), sent])
            };
            assert_eq!(sent((header::ACCEPT, "*/*")), 200, "a command line names no site");
            assert_eq!(sent((header::ORIGIN, "http://localhost:8080")), 200);
            assert_eq!([sent((SITE, "same-origin")), sent((SITE, "none"))], [200, 200]);
            for origin in ["http://localhost:3000", "https://evil.example", "null"] {
                assert_eq!(sent((header::ORIGIN, origin)), 403, "{method} {origin}");
            }
            for site in ["cross-site", "same-site"] {
                assert_eq!(sent((SITE, site)), 403, "{method} {site}");
            }
        }
    }
    // Beyond loopback the token says who asks.
    let away = [here, right, (SITE, "cross-site")];
    assert_eq!(answer(&access(false, Some(TOKEN)), Method::GET, &away), 200);
}
