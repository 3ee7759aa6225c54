//! Key stores of TLS: PEM files and PKCS #12 archives, distinguished by their bytes, made into what
//! a connection takes.
//!
//! In: a file and its password. Out: the certificates of authorities as PEM, or our certificate
//! and key as a PKCS #12 archive without a password, which never leaves the process. JKS, which
//! only Java reads, is refused with the command that converts it.

use std::fmt::Display;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkcs12::{ParsedPkcs12_2, Pkcs12};
use openssl::pkey::{PKey, Private};
use openssl::stack::Stack;
use openssl::x509::X509;

/// What both magic numbers of Java's own stores begin with (JKS, JCEKS).
const JAVA: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];

/// The certificates of a trust store.
pub(super) fn authorities(path: &Path, bytes: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let certificates: Vec<X509> = if is_pem(bytes) {
        X509::stack_from_pem(bytes).map_err(|error| unreadable(path, &error))?
    } else {
        let archive = archive(path, bytes, password)?;
        archive.ca.into_iter().flatten().chain(archive.cert).collect()
    };
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    let mut pem = Vec::new();
    for certificate in certificates {
        pem.extend(certificate.to_pem().map_err(|error| unreadable(path, &error))?);
    }
    Ok(pem)
}

/// A certificate, its key and its chain, as a PKCS #12 archive.
pub(super) fn identity(path: &Path, bytes: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let (certificate, key, chain) = own(path, bytes, password)?;
    let build = || -> Result<Vec<u8>, ErrorStack> {
        let mut others = Stack::new()?;
        for one in chain {
            others.push(one)?;
        }
        Pkcs12::builder().pkey(&key).cert(&certificate).ca(others).build2("")?.to_der()
    };
    build().map_err(|error| unreadable(path, &error))
}

/// The same as PEM: the key, the certificate, its chain.
pub(super) fn identity_pem(path: &Path, bytes: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let (certificate, key, chain) = own(path, bytes, password)?;
    let build = || -> Result<Vec<u8>, ErrorStack> {
        let mut pem = key.private_key_to_pem_pkcs8()?;
        for one in std::iter::once(&certificate).chain(&chain) {
            pem.extend(one.to_pem()?);
        }
        Ok(pem)
    };
    build().map_err(|error| unreadable(path, &error))
}

/// A certificate, its key and its chain.
type Own = (X509, PKey<Private>, Vec<X509>);

fn own(path: &Path, bytes: &[u8], password: &str) -> Result<Own, String> {
    let missing = |what: &str| {
        format!(
            "{} holds no {what}; put certificate, chain and private key into one PEM file, \
             or into one PKCS #12 archive",
            path.display()
        )
    };
    let fail = |error: ErrorStack| unreadable(path, &error);
    if is_pem(bytes) {
        let mut certificates = X509::stack_from_pem(bytes).map_err(fail)?.into_iter();
        let certificate = certificates.next().ok_or_else(|| missing("certificate"))?;
        if !bytes.windows(12).any(|window| window == b"PRIVATE KEY-") {
            return Err(missing("private key"));
        }
        let key = PKey::private_key_from_pem_passphrase(bytes, password.as_bytes());
        Ok((certificate, key.map_err(fail)?, certificates.collect()))
    } else {
        let archive = archive(path, bytes, password)?;
        let certificate = archive.cert.ok_or_else(|| missing("certificate"))?;
        let key = archive.pkey.ok_or_else(|| missing("private key"))?;
        Ok((certificate, key, archive.ca.into_iter().flatten().collect()))
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn archive(path: &Path, bytes: &[u8], password: &str) -> Result<ParsedPkcs12_2, String> {
    let shown = path.display();
    if JAVA.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(format!(
            "{shown} is a key store that only Java reads (JKS); convert it: keytool \
             -importkeystore -srckeystore {shown} -destkeystore {shown}.p12 -deststoretype PKCS12"
        ));
    }
    let archive = Pkcs12::from_der(bytes)
        .map_err(|_| format!("{shown} is neither a PEM file nor a PKCS #12 archive"))?;
    archive
        .parse2(password)
        .map_err(|error| format!("{}; is its password right?", unreadable(path, &error)))
}

fn unreadable(path: &Path, error: &dyn Display) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::Private;
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;
    use openssl::x509::X509Name;

    fn pair() -> (X509, PKey<Private>) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "somebody").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        (builder.build(), key)
    }

    #[test]
    fn every_kind_of_store_gives_the_same_certificate_and_key() {
        let (certificate, key) = pair();
        let pem = certificate.to_pem().unwrap();
        let plain = [pem.clone(), key.private_key_to_pem_pkcs8().unwrap()].concat();
        let locked = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"pw");
        let locked = [locked.unwrap(), pem.clone()].concat();
        let archive = Pkcs12::builder().pkey(&key).cert(&certificate).build2("pw").unwrap();
        let archive = archive.to_der().unwrap();
        let mut trust = Stack::new().unwrap();
        trust.push(certificate.clone()).unwrap();
        let trust = Pkcs12::builder().ca(trust).build2("pw").unwrap().to_der().unwrap();
        let path = Path::new("/x");
        for store in [&plain, &locked, &archive] {
            let made = identity(path, store, "pw").unwrap();
            let made = Pkcs12::from_der(&made).unwrap().parse2("").unwrap();
            assert_eq!(made.cert.unwrap().to_der().unwrap(), certificate.to_der().unwrap());
            assert!(made.pkey.unwrap().public_eq(&key));
        }
        for store in [&pem, &plain, &archive, &trust] {
            assert_eq!(authorities(path, store, "pw").unwrap(), pem);
        }
        for store in [&locked, &archive] {
            let reason = identity(path, store, "wrong").unwrap_err();
            assert!(reason.contains("cannot read /x"), "{reason}");
        }
        assert!(identity(path, &pem, "").unwrap_err().contains("no private key"));
    }

    #[test]
    fn what_is_no_store_is_named_with_the_way_out() {
        let jks = [&[0xfe, 0xed, 0xfe, 0xed][..], &[0, 0, 0, 2, 0, 0]].concat();
        for make in [authorities, identity] {
            let reason = make(Path::new("/x.jks"), &jks, "").unwrap_err();
            assert!(reason.contains("keytool"), "{reason}");
            let reason = make(Path::new("/x"), b"nothing", "").unwrap_err();
            assert!(reason.contains("neither a PEM file"), "{reason}");
            let reason = make(Path::new("/x"), b"-----BEGIN NOTHING", "").unwrap_err();
            assert!(reason.contains("no certificate"), "{reason}");
        }
    }
}
