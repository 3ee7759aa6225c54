//! Certificates of the tests' own: authorities, and what they sign.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

/// Who signs.
pub(super) struct Authority(Pair);

/// A certificate and its key.
pub(super) struct Pair {
    certificate: X509,
    key: PKey<Private>,
}

/// What a certificate of a server is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As of old: without any extension.
    Version1,
    /// Its only name is the common name.
    CommonName,
    /// Its names hold those of loopback.
    Named,
    /// Its names are others.
    NamedOtherwise,
    /// It is valid for [`SHORT`] from now on: a server takes none that has expired.
    Expired,
}

pub(super) const SHORT: Duration = Duration::from_secs(2);

const LOOPBACK: &str = "localhost";

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = new_key();
        let mut builder = builder(name, &key, 2);
        builder.set_issuer_name(&named(name)).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self(Pair { certificate: builder.build(), key })
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        self.0.certificate.to_pem().unwrap()
    }

    pub(super) fn sign(&self, kind: Kind) -> Pair {
        let key = new_key();
        let name = if kind == Kind::NamedOtherwise { "elsewhere.example" } else { LOOPBACK };
        let mut builder = builder(name, &key, if kind == Kind::Version1 { 0 } else { 2 });
        builder.set_issuer_name(self.0.certificate.subject_name()).unwrap();
        let names: &[&str] = match kind {
            Kind::Version1 | Kind::CommonName => &[],
            Kind::Named | Kind::Expired => &[LOOPBACK],
            Kind::NamedOtherwise => &["elsewhere.example"],
        };
        if !names.is_empty() {
            let mut all = SubjectAlternativeName::new();
            for name in names {
                all.dns(name);
            }
            let all = all.build(&builder.x509v3_context(Some(&self.0.certificate), None)).unwrap();
            builder.append_extension(all).unwrap();
        }
        if kind == Kind::Expired {
            let soon = now() + i64::try_from(SHORT.as_secs()).unwrap();
            builder.set_not_after(&Asn1Time::from_unix(soon).unwrap()).unwrap();
        }
        builder.sign(&self.0.key, MessageDigest::sha256()).unwrap();
        Pair { certificate: builder.build(), key }
    }
}

impl Pair {
    /// Writes certificate and key into two files, as a server wants them.
    pub(super) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, self.certificate.to_pem().unwrap()).unwrap();
        std::fs::write(&key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        (certificate, key)
    }

    /// Both in one text.
    pub(super) fn pem(&self) -> Vec<u8> {
        let key = self.key.private_key_to_pem_pkcs8().unwrap();
        [self.certificate.to_pem().unwrap(), key].concat()
    }

    /// Both in an archive without a password.
    pub(super) fn archive(&self) -> Vec<u8> {
        let archive = Pkcs12::builder().pkey(&self.key).cert(&self.certificate).build2("");
        archive.unwrap().to_der().unwrap()
    }
}

fn new_key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn named(name: &str) -> X509Name {
    let mut builder = X509Name::builder().unwrap();
    builder.append_entry_by_text("CN", name).unwrap();
    builder.build()
}

/// Valid from the day before yesterday until the day after tomorrow; `version` counts from 0.
fn builder(name: &str, key: &PKey<Private>, version: i32) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(version).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&named(name)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now() - 2 * 86_400).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now() + 2 * 86_400).unwrap()).unwrap();
    builder
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}
