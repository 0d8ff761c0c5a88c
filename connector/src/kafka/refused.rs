//! Why a broker or the client library let nobody in. librdkafka tries for ever and says why only in its log, so its
//! words are what a refusal is known by; the end-to-end tests hold them against a real broker.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::native;

/// How long a second look at the certificate may take.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// The code that fits what the client has logged, and the remedy; nothing, when it was not about who may come in.
pub(super) fn login(complaint: &str, config: &ClientConfig) -> Option<(RDKafkaErrorCode, String)> {
    let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    let ssl = |remedy: &str| Some((RDKafkaErrorCode::SSL, format!("; {remedy}")));
    if says(&["SASL authentication error"]) {
        let code = RDKafkaErrorCode::Authentication;
        return Some((code, super::remedy(code).to_owned()));
    }
    // Else the provider may be out for a while.
    if says(&["OAUTHBEARER token"]) && says(&["invalid_", "unauthorized", "denied"]) {
        let remedy =
            "; set sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret as the provider knows them";
        return Some((RDKafkaErrorCode::Authentication, remedy.to_owned()));
    }
    if says(&["certificate verify failed", "certificate could not be verified"]) {
        let flaw = native::certificate_flaw(config, SECOND_LOOK);
        let flaw =
            flaw.as_deref().and_then(|flaw| flaw.split_once("] ").map_or(Some(flaw), |(_, flaw)| Some(flaw)));
        return ssl(
            flaw.unwrap_or("set ssl.ca.location to the certificate (PEM) of the authority that signed it")
        );
    }
    if says(&[
        "certificate required",
        "bad certificate",
        "unknown ca",
        "not sending any client certificates",
        "certificate unknown",
        "certificate expired",
    ]) {
        return ssl(
            "the broker refuses this client's certificate: set ssl.certificate.location and ssl.key.location to one \
             that is valid and that the brokers' authority has signed",
        );
    }
    None
}

/// The remedy where a connection ends before anything was said. It may be an outage too.
pub(super) fn connection(complaint: &str) -> &'static str {
    if complaint.contains("in state APIVERSION_QUERY") {
        "; the listener may want TLS, or a login, or neither: compare security.protocol with it"
    } else {
        ""
    }
}

/// The remedy for a flaw of the broker's certificate, by OpenSSL's number of it (`X509_V_ERR_…`).
pub(super) fn certificate(error: i32) -> &'static str {
    match error {
        9 => "the certificate is not valid yet: compare the clocks of the broker and this machine",
        10 => "the certificate has expired: renew it on the broker",
        23 => "the certificate was revoked: replace it on the broker",
        2 | 18..=21 => {
            "no authority that is trusted here has signed the certificate: set ssl.ca.location to its \
             authority's certificate (PEM)"
        }
        62 | 64 => {
            "the certificate is for another host: let kafka.bootstrap_servers and the brokers' advertised.listeners \
             use a name that it holds, or add the name to it"
        }
        _ => "the certificate is refused by OpenSSL: see `openssl verify` for it",
    }
}

/// Properties that name a file.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.crl.location",
    "ssl.keystore.location",
];

/// The remedy where the client could not even be made.
pub(super) fn client(error: &str, config: &ClientConfig) -> String {
    if error.contains("GSSAPI") {
        return "; GSSAPI (Kerberos) is not built in, and is what librdkafka takes without sasl.mechanism: set it to \
                PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
            .to_owned();
    }
    let named = FILES.iter().find_map(|key| error.contains(key).then_some((key, config.get(key)?)));
    named.map_or(String::new(), |(key, path)| match std::fs::read(path) {
        Err(error) => format!("; {key} is {path:?}, which cannot be read: {error}"),
        Ok(_) => {
            format!("; {key} is {path:?}, which does not hold what it takes, or is locked by a password")
        }
    })
}
