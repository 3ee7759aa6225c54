//! What the settings of a Kafka cluster name but do not hold: passwords in files and of commands,
//! and the certificates of TLS.
//!
//! In: [`ClusterConfig`], as it is written. Out: the same with all of it read, for librdkafka, which
//! takes certificates as PEM.
//! Always: nothing of a secret is in an error, which names the key, where it is written, and the
//! file or command.

use std::sync::Arc;

use super::{secrets, stores};
use crate::config::{ClusterConfig, KeyStore, Reread, Settings};

/// The cluster's settings with everything that they name read, now and whenever it is wanted.
pub async fn cluster(settings: &Settings, config: &ClusterConfig) -> Result<ClusterConfig, String> {
    let mut whole = read_all(settings, config).await?;
    let (settings, config) = (Arc::new(settings.clone()), Arc::new(config.clone()));
    whole.reread = Some(Reread::new(move || {
        let (settings, config) = (Arc::clone(&settings), Arc::clone(&config));
        Box::pin(async move { read_all(&settings, &config).await })
    }));
    Ok(whole)
}

async fn read_all(settings: &Settings, config: &ClusterConfig) -> Result<ClusterConfig, String> {
    let mut whole = config.clone();
    for (name, value) in config.client.iter() {
        let text = secrets::read_text(value, settings.key_and_place(key_of(name))).await?;
        whole.client.set(name, &text);
    }
    if let Some(store) = whole.trust_store.take() {
        let pem = read(settings, &store, stores::authorities).await?;
        whole.client.set("ssl.ca.pem", &pem);
    }
    if let Some(store) = whole.key_store.take() {
        let pem = read(settings, &store, stores::identity_pem).await?;
        // librdkafka finds in each what it looks for.
        whole.client.set("ssl.certificate.pem", &pem);
        whole.client.set("ssl.key.pem", &pem);
    }
    Ok(whole)
}

async fn read(
    settings: &Settings,
    store: &KeyStore,
    make: secrets::Make,
) -> Result<String, String> {
    let (at, password_at) =
        (settings.key_and_place(store.key), settings.key_and_place(store.password_key));
    let bytes = secrets::read_store(store, at.clone(), password_at, make).await?;
    String::from_utf8(bytes).map_err(|_| format!("{at}: it holds no PEM"))
}

/// The key that a property comes from, as far as it may be a secret.
fn key_of(property: &str) -> &'static str {
    match property {
        "sasl.username" | "sasl.password" => "kafka.sasl.jaas.config",
        "ssl.key.pem" => "kafka.ssl.keystore.key",
        "ssl.key.password" => "kafka.ssl.key.password",
        "ssl.certificate.pem" => "kafka.ssl.keystore.certificate.chain",
        "ssl.ca.pem" => "kafka.ssl.truststore.certificates",
        _ => "kafka.*",
    }
}
