//! TLS as librdkafka's properties describe it: whose certificates are trusted, what we show.

use std::net::TcpStream;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    HandshakeError, SslConnector, SslFiletype, SslMethod, SslStream, SslVerifyMode,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509VerifyResult};

use crate::config::Properties;

/// A connection behind its handshake.
pub(super) fn wrap(
    pipe: TcpStream,
    address: &str,
    properties: &Properties,
) -> Result<SslStream<TcpStream>, String> {
    let get = |name: &str| properties.get(name);
    let build = || -> Result<SslConnector, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        let location = get("ssl.ca.location").filter(|path| *path != "probe");
        // Where authorities are named, librdkafka trusts no others (`rd_kafka_ssl_set_certs`), and
        // OpenSSL's connector those of the system as well.
        if location.is_some() || get("ssl.ca.pem").is_some() {
            builder.set_cert_store(X509StoreBuilder::new()?.build());
        }
        if let Some(path) = location {
            builder.set_ca_file(path)?;
        }
        if let Some(pem) = get("ssl.ca.pem") {
            for one in X509::stack_from_pem(pem.as_bytes())? {
                builder.cert_store_mut().add_cert(one)?;
            }
        }
        if let Some(path) = get("ssl.certificate.location") {
            builder.set_certificate_chain_file(path)?;
        }
        if let Some(pem) = get("ssl.certificate.pem") {
            let mut chain = X509::stack_from_pem(pem.as_bytes())?.into_iter();
            if let Some(own) = chain.next() {
                builder.set_certificate(&own)?;
            }
            for one in chain {
                builder.add_extra_chain_cert(one)?;
            }
        }
        let password = get("ssl.key.password").unwrap_or_default().as_bytes();
        if let Some(pem) = get("ssl.key.pem") {
            builder.set_private_key(&*PKey::private_key_from_pem_passphrase(
                pem.as_bytes(),
                password,
            )?)?;
        } else if let Some(path) = get("ssl.key.location") {
            match std::fs::read(path) {
                Ok(pem) => builder
                    .set_private_key(&*PKey::private_key_from_pem_passphrase(&pem, password)?)?,
                // OpenSSL says what is wrong with the file.
                Err(_) => builder.set_private_key_file(path, SslFiletype::PEM)?,
            }
        }
        if let Some(suites) = get("ssl.cipher.suites") {
            builder.set_cipher_list(suites)?;
        }
        if get("enable.ssl.certificate.verification") == Some("false") {
            builder.set_verify(SslVerifyMode::NONE);
        }
        Ok(builder.build())
    };
    let connector = build().map_err(|error| {
        format!("the certificates or the key of TLS cannot be used (kafka.ssl.*): {error}")
    })?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let mut settings = connector.configure().map_err(|error| error.to_string())?;
    settings.set_verify_hostname(get("ssl.endpoint.identification.algorithm") != Some("none"));
    match settings.connect(host, pipe) {
        Ok(stream) => Ok(stream),
        Err(HandshakeError::Failure(stream))
            if stream.ssl().verify_result() != X509VerifyResult::OK =>
        {
            let why = stream.ssl().verify_result().error_string();
            Err(format!(
                "the certificate of {address} is not accepted ({why}): write the authority's as kafka.ssl.truststore.location; if only the name is another, kafka.ssl.endpoint.identification.algorithm = (empty) leaves it unchecked"
            ))
        }
        Err(error) => Err(format!(
            "no TLS with {address} ({error}): does this port speak TLS, and does it want a certificate of ours (kafka.ssl.keystore.location)?"
        )),
    }
}
