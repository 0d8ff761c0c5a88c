//! Why a broker or the client library let nobody in. librdkafka tries for ever and says why only in its log,
//! so its words are what a refusal is known by; the end-to-end tests hold them against a real broker.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::native;

/// How long a second look at the certificate may take.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// Who let nobody in, or what was wrong with it: something has to be changed. An outage is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Login,
    Mechanism,
    /// By the provider of tokens.
    Token,
    /// By this client, of the broker's.
    BrokerCertificate,
    ClientCertificate,
}

impl Refusal {
    /// What the client's words tell; nothing, when they are not about who may come in,
    /// or when that may be an outage.
    pub(crate) fn of(complaint: &str) -> Option<Self> {
        let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        // A connection that is lost while somebody logs in is told in the same words, but
        // for the client's own cause behind them.
        if says(&["SASL authentication error"]) && !says(&["failed: Local:"]) {
            return Some(Self::Login);
        }
        if says(&["mechanism handshake failed: Broker: Unsupported SASL mechanism"]) {
            return Some(Self::Mechanism);
        }
        // Else the provider may be out for a while.
        if says(&["OAUTHBEARER token"]) && says(&["invalid_", "unauthorized", "denied"]) {
            return Some(Self::Token);
        }
        if says(&["certificate verify failed", "certificate could not be verified"]) {
            return Some(Self::BrokerCertificate);
        }
        let client = says(&[
            "certificate required",
            "bad certificate",
            "unknown ca",
            "not sending any client certificates",
            "certificate unknown",
            "certificate expired",
        ]);
        client.then_some(Self::ClientCertificate)
    }

    fn code(self) -> RDKafkaErrorCode {
        match self {
            Self::Login | Self::Mechanism | Self::Token => RDKafkaErrorCode::Authentication,
            Self::BrokerCertificate | Self::ClientCertificate => RDKafkaErrorCode::SSL,
        }
    }

    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Login => super::remedy(RDKafkaErrorCode::Authentication),
            Self::Mechanism => "; set sasl.mechanism to one that the brokers support",
            Self::Token => {
                "; set sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret as the provider knows them"
            }
            Self::BrokerCertificate => {
                "; `tidegate validate` says what is wrong with the broker's certificate"
            }
            Self::ClientCertificate => {
                "; the broker refuses this client's certificate: set ssl.certificate.location and ssl.key.location to \
                 one that is valid and that the brokers' authority has signed"
            }
        }
    }
}

/// The code that fits what the client has logged, and the remedy; nothing, when it is no refusal.
pub(super) fn login(complaint: &str, config: &ClientConfig) -> Option<(RDKafkaErrorCode, String)> {
    let refusal = Refusal::of(complaint)?;
    let remedy = if refusal == Refusal::BrokerCertificate {
        let flaw = native::certificate_flaw(config, SECOND_LOOK);
        let flaw = flaw
            .as_deref()
            .map(|flaw| flaw.split_once("] ").map_or(flaw, |(_, flaw)| flaw))
            .unwrap_or("set ssl.ca.location to the certificate (PEM) of the authority that signed it");
        format!("; {flaw}")
    } else {
        refusal.remedy().to_owned()
    };
    Some((refusal.code(), remedy))
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

#[cfg(test)]
mod tests {
    use super::Refusal;

    /// As librdkafka words them.
    #[test]
    fn a_refusal_is_told_from_an_outage_by_its_words() {
        for (complaint, expected) in [
            (
                "SASL authentication error: Authentication failed during authentication due to invalid credentials with \
              SASL mechanism SCRAM-SHA-512 (after 5ms in state AUTH_REQ)",
                Some(Refusal::Login),
            ),
            (
                "SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport failure",
                None,
            ),
            (
                "SASL authentication error: SaslAuthenticateResponse parsing failed: Local: Bad message format",
                None,
            ),
            (
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: \
              SCRAM-SHA-512",
                Some(Refusal::Mechanism),
            ),
            (
                "SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms: \
              (n/a)",
                None,
            ),
            ("Failed to acquire SASL OAUTHBEARER token: Error: invalid_client (401)", Some(Refusal::Token)),
            (
                "Failed to acquire SASL OAUTHBEARER token: Failed to connect to login.example.com port 443",
                None,
            ),
            (
                "Failed to initialize SASL authentication: OAUTHBEARER cannot log in because there is no token available; \
              last error: Failed to connect",
                None,
            ),
            (
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not \
              be verified",
                Some(Refusal::BrokerCertificate),
            ),
            ("SSL handshake failed: error:0A000126:SSL routines::unexpected eof while reading", None),
            (
                "error:0A00045C:SSL routines::tlsv13 alert certificate required",
                Some(Refusal::ClientCertificate),
            ),
            ("Connect to ipv4#127.0.0.1:9092 failed: Connection refused", None),
        ] {
            assert_eq!(Refusal::of(complaint), expected, "{complaint}");
        }
    }
}
