//! What a store's refusal is about: a certificate that is not trusted, or a right that is missing.
//! object_store tells either in its text only, or not at all.

type StdError = dyn std::error::Error + 'static;

fn chain(error: &StdError) -> impl Iterator<Item = &StdError> {
    std::iter::successors(Some(error), |error| error.source())
}

/// An error with its causes, each once: object_store's errors repeat theirs.
pub(super) fn told(error: &object_store::Error) -> String {
    chain(error).fold(String::new(), |mut told, error| {
        let text = error.to_string();
        if told.is_empty() {
            told = text;
        } else if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        told
    })
}

/// Whether it is said that there is no bucket of the name, as S3 and GCS call it, or no container.
pub(super) fn is_no_bucket(told: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| told.contains(code))
}

/// What S3 calls bad requests, and are credentials that do not fit.
const UNFIT: [&str; 4] =
    ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"];

/// Whether the store has refused a request for its credentials.
pub(super) fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error as Store;
    match error {
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => true,
        // That of a listing, and those of S3 to temporary keys and wrong regions, which have status 400.
        Store::Generic { source, .. } => chain(&**source).any(|error| {
            let text = error.to_string();
            ["401 Unauthorized", "403 Forbidden"].iter().any(|told| text.contains(told))
                || UNFIT.iter().any(|code| text.contains(&format!("400 Bad Request: {code}")))
        }),
        _ => false,
    }
}

/// What to do about credentials that may not do `what`, a verb of the messages, in a store with this URL.
pub(super) fn rights_remedy(url: &str, what: &str) -> String {
    let rights = match (url.split("://").next().unwrap_or_default(), what) {
        // Without the right to list, S3 refuses to say that an object is missing.
        ("s3" | "s3a", "read" | "look at") => "s3:GetObject, and s3:ListBucket",
        ("s3" | "s3a", "copy") => "s3:GetObject and s3:PutObject",
        ("s3" | "s3a", "list") => "s3:ListBucket",
        ("s3" | "s3a", "delete") => "s3:DeleteObject",
        ("s3" | "s3a", _) => "s3:PutObject",
        ("gs", "read" | "look at") => "storage.objects.get",
        ("gs", "copy") => "storage.objects.get and storage.objects.create",
        ("gs", "list") => "storage.objects.list",
        ("gs", "delete") => "storage.objects.delete",
        ("gs", _) => "storage.objects.create, and storage.objects.delete to overwrite",
        (_, "read" | "look at" | "list") => "blobs/read",
        (_, "delete") => "blobs/delete",
        _ => "blobs/write and blobs/add/action",
    };
    format!(": refused; the credentials must be valid, and must allow {rights} there")
}

/// What to do where TLS refuses the store's certificate.
pub(super) fn certificate_remedy(error: &StdError) -> Option<&'static str> {
    chain(error).find_map(|error| {
        let text = error.to_string();
        let flaw = text.split_once("invalid peer certificate")?.1;
        Some(if flaw.contains("UnknownIssuer") || flaw.contains("CaUsedAsEndEntity") {
            ": no authority that is trusted here has signed its certificate; set sink.store.ca_file to the \
             authority's certificate (PEM)"
        } else if flaw.contains("NotValidForName") || flaw.contains("not valid for name") {
            ": its certificate is for another host; use a name in sink.store.endpoint that it holds"
        } else {
            ": its certificate is refused; renew it on the store"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn a_refusal_is_told_from_an_outage() {
        assert!(is_refusal(&answered("non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>")));
        assert!(is_refusal(&answered("non-2xx status code: 400 Bad Request: ExpiredToken: it is over")));
        assert!(is_refusal(&answered("non-2xx status code: 400 Bad Request: InvalidToken: malformed")));
        assert!(!is_refusal(&answered("non-2xx status code: 400 Bad Request: EntityTooLarge: it is")));
        assert!(!is_refusal(&answered(
            "non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>"
        )));
    }

    #[test]
    fn each_store_names_its_own_rights() {
        for (url, what, right) in [
            ("s3://lake/raw", "list", "s3:ListBucket"),
            ("s3://lake/raw", "upload", "s3:PutObject"),
            ("gs://lake/raw", "delete", "storage.objects.delete"),
            ("az://lake/raw", "create", "blobs/write"),
        ] {
            assert!(rights_remedy(url, what).contains(right), "{url} {what}");
        }
    }
}
