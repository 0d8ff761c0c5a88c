//! The one place where the tests' certificates are made: an authority of their own,
//! and what it signs. All of it is PEM.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate and its private key (PKCS #8).
#[derive(Clone)]
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.pem)
    }
}

impl Certificate {
    /// One that vouches for itself, for host names or addresses.
    pub fn self_signed(names: &[&str]) -> Result<Self> {
        let key = KeyPair::generate()?;
        Ok(Self { pem: params(names)?.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// Writes `<name>.pem` and `<name>.key` into a folder. Returns their paths.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let (pem, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&pem, &self.pem)?;
        std::fs::write(&key, &self.key)?;
        Ok((pem, key))
    }
}

/// Signs certificates for servers and for clients.
#[derive(Debug)]
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// For host names or addresses; the first is its common name too, which Kafka takes for a client's name.
    pub fn sign(&self, names: &[&str]) -> Result<Certificate> {
        self.signed(params(names)?)
    }

    /// The same, out of date for years.
    pub fn sign_expired(&self, names: &[&str]) -> Result<Certificate> {
        let mut params = params(names)?;
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        self.signed(params)
    }

    fn signed(&self, params: CertificateParams) -> Result<Certificate> {
        let key = KeyPair::generate()?;
        Ok(Certificate { pem: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

fn params(names: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}
