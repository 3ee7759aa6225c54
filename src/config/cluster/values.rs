//! The settings whose values mean something else in librdkafka, or which we decide: one function a
//! row of the table.

use super::building::{Building, Written};
use super::java::{CODE, IAM, KERBEROS, OAUTH};
use super::{ciphers, jaas};
use crate::config::ClusterConfig;
use crate::config::address::Address;
use crate::config::instance::KeyStore;
use crate::config::reader::{flag, join};
use crate::config::secret::Secret;

/// The most that may be asked for.
const MOST_MEMORY: u64 = 1 << 30;

/// Milliseconds that an ordinary transaction may take, as in Kafka.
const TRANSACTION: i64 = 60_000;

const AT_ONCE: &str =
    "with transactions a message is sent again until it is there or its transaction has timed out";

/// The settings that are translated, not renamed.
impl Building {
    pub(super) fn bootstrap(&mut self, one: &Written) {
        let brokers: Option<Vec<String>> = one
            .value
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                // Kafka takes the name of a listener before the address, and ignores it.
                let address = part.split_once("://").map_or(part, |(_, address)| address);
                Address::parse(address, 9092).map(|address| address.to_string())
            })
            .collect();
        match brokers {
            Some(brokers) if !brokers.is_empty() => self.config.bootstrap = brokers.join(","),
            _ => self.refuse(
                one,
                format!("`{}` is no list of brokers: write host:port, several by comma", one.value),
            ),
        }
    }

    pub(super) fn acks(&mut self, one: &Written) {
        let acks = match one.value.to_lowercase().as_str() {
            "all" | "-1" => "-1",
            "0" => "0",
            "1" => "1",
            _ => return self.refuse(one, format!("`{}` is none of all, -1, 0, 1", one.value)),
        };
        if self.config.transactional && acks != "-1" {
            self.warn(one, "transactions demand all: it counts as all");
        } else if !self.config.transactional {
            self.config.producer.set("acks", acks);
        }
    }

    /// Java's bounds one partition's part of a request, librdkafka's a whole request of one
    /// partition: what Canal ships would make requests of 16 KB.
    pub(super) fn batch_size(&mut self, one: &Written) {
        match self.number(one, 0) {
            None | Some(16384) => {}
            Some(size) => self.set(one, "batch.size", &size.max(1).to_string()),
        }
    }

    pub(super) fn buffer_memory(&mut self, one: &Written) {
        match one.value.parse::<u64>() {
            Ok(bytes) if bytes <= MOST_MEMORY => {
                let kilobytes = (bytes / 1024).max(1).to_string();
                self.config.producer.set("queue.buffering.max.kbytes", &kilobytes);
            }
            _ => {
                let text = format!("`{}` is no number of bytes up to {MOST_MEMORY}", one.value);
                self.refuse(one, text);
            }
        }
    }

    pub(super) fn compression_level(&mut self, one: &Written) {
        let codec = one.name.split('.').nth(1).unwrap_or_default();
        let chosen = self.value_of("compression.type").unwrap_or("none").to_owned();
        if !chosen.eq_ignore_ascii_case(codec) {
            return self.idle(one, &format!("kafka.compression.type is {chosen}"));
        }
        let most = if codec == "gzip" { 9 } else { 12 };
        match one.value.parse::<i64>() {
            Ok(level) if (1..=most).contains(&level) || codec == "gzip" && level == -1 => {
                self.config.producer.set("compression.level", &level.to_string());
            }
            _ => self.refuse(one, format!("`{}` is no level from 1 to {most}", one.value)),
        }
    }

    pub(super) fn idle_time(&mut self, one: &Written) {
        // Never is -1 in Java, 0 in librdkafka.
        if let Some(millis) = self.number(one, -1) {
            self.set(one, "connections.max.idle.ms", &millis.max(0).to_string());
        }
    }

    pub(super) fn delivery_timeout(&mut self, one: &Written) {
        if self.number(one, 0).is_none() {
            return;
        }
        if self.config.transactional {
            return self.idle(one, AT_ONCE);
        }
        self.set(one, "delivery.timeout.ms", &one.value);
    }

    pub(super) fn idempotence(&mut self, one: &Written) {
        match flag(&one.value) {
            None => self.refuse(one, format!("`{}` is neither true nor false", one.value)),
            Some(false) if self.config.transactional => {
                self.warn(one, "transactions demand it: it counts as true");
            }
            Some(_) if self.config.transactional => {}
            Some(on) => {
                self.config.producer.set("enable.idempotence", if on { "true" } else { "false" });
            }
        }
    }

    pub(super) fn in_flight(&mut self, one: &Written) {
        match self.number(one, 1) {
            None | Some(1) => {}
            Some(number) if number <= 5 => {
                self.set(one, "max.in.flight.requests.per.connection", &number.to_string());
            }
            Some(_) => {
                self.warn(one, "more than 5 do not keep the order: it counts as 5");
                self.set(one, "max.in.flight.requests.per.connection", "5");
            }
        }
    }

    pub(super) fn retries(&mut self, one: &Written) {
        match self.number(one, 0) {
            // What fails for good is sent again by us, with all that came behind it.
            None | Some(0) => {}
            Some(number) if self.config.transactional => {
                if number < i64::from(i32::MAX) {
                    self.idle(one, AT_ONCE);
                }
            }
            Some(number) => self.set(one, "retries", &number.to_string()),
        }
    }

    pub(super) fn request_timeout(&mut self, one: &Written) {
        let Some(millis) = self.number(one, 10) else { return };
        let most = self.value_of("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        let most = most.unwrap_or(TRANSACTION);
        if self.config.transactional && millis > most {
            self.warn(one, format!("a transaction has {most} ms: it counts as {most}"));
        }
        let counted = if self.config.transactional { millis.min(most) } else { millis };
        self.set(one, "socket.timeout.ms", &counted.to_string());
    }

    pub(super) fn largest_request(&mut self, one: &Written) {
        let largest = ClusterConfig::LARGEST_RECORD;
        let bytes = one.value.parse::<usize>();
        if bytes.is_ok_and(|bytes| bytes > largest) {
            let text = format!("no message is larger than 30 MiB here: it counts as {largest}");
            self.warn(one, text);
            self.set(one, "message.max.bytes", &largest.to_string());
        } else {
            self.set(one, "message.max.bytes", &one.value);
        }
    }

    pub(super) fn receive_buffer(&mut self, one: &Written) {
        if let Some(bytes) = self.number(one, -1) {
            self.set(one, "socket.receive.buffer.bytes", &bytes.max(0).to_string());
        }
    }

    pub(super) fn send_buffer(&mut self, one: &Written) {
        if let Some(bytes) = self.number(one, -1) {
            self.set(one, "socket.send.buffer.bytes", &bytes.max(0).to_string());
        }
    }

    pub(super) fn lower_case(&mut self, one: &Written) {
        let name = one.name.clone();
        self.set(one, &name, &one.value.to_lowercase());
    }

    pub(super) fn kerberos(&mut self, one: &Written) {
        match flag(&one.value) {
            Some(true) => self.refuse(one, KERBEROS),
            Some(false) => {}
            None => self.refuse(one, format!("`{}` is neither true nor false", one.value)),
        }
    }

    /// The files count only with `kafka.kerberos.enable`, which is refused.
    #[expect(clippy::unused_self, reason = "a row of the table")]
    pub(super) fn without_kerberos(&mut self, _: &Written) {}

    pub(super) fn protocol(&mut self, one: &Written) {
        let protocol = one.value.to_lowercase();
        match &*protocol {
            "plaintext" | "ssl" | "sasl_plaintext" | "sasl_ssl" => {
                self.config.client.set("security.protocol", &protocol);
            }
            _ => self.refuse(
                one,
                format!("`{}` is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", one.value),
            ),
        }
    }

    pub(super) fn mechanism(&mut self, one: &Written) {
        let mechanism = one.value.to_uppercase();
        match &*mechanism {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
                self.config.client.set("sasl.mechanism", &mechanism);
            }
            "GSSAPI" => self.refuse(one, KERBEROS),
            "OAUTHBEARER" => self.refuse(one, OAUTH),
            "AWS_MSK_IAM" => self.refuse(one, IAM),
            _ => self.refuse(
                one,
                format!("`{}` is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", one.value),
            ),
        }
    }

    pub(super) fn callback_handler(&mut self, one: &Written) {
        if one.value.contains("IAM") {
            self.refuse(one, IAM);
        } else if one.value.contains("OAuth") {
            self.refuse(one, OAUTH);
        } else {
            self.refuse(one, CODE);
        }
    }

    /// No part of the line is said.
    pub(super) fn jaas(&mut self, one: &Written) {
        const LINE: &str = "write org.apache.kafka.common.security.scram.ScramLoginModule required username=\"..\" password=\"..\"; (a password may be ${file:PATH} or ${exec:COMMAND} between its quotes)";
        let login = match jaas::parse(&one.value) {
            Ok(login) => login,
            Err(reason) => return self.refuse(one, format!("{reason}: {LINE}")),
        };
        let class = login.module.rsplit('.').next().unwrap_or_default();
        let fits: &[&str] = match class {
            "PlainLoginModule" => &["PLAIN"],
            "ScramLoginModule" => &["SCRAM-SHA-256", "SCRAM-SHA-512"],
            "OAuthBearerLoginModule" => return self.refuse(one, OAUTH),
            "Krb5LoginModule" => return self.refuse(one, KERBEROS),
            "IAMLoginModule" => return self.refuse(one, IAM),
            _ => {
                return self.refuse(
                    one,
                    "its login module is a Java class that is not known here: use PlainLoginModule or ScramLoginModule",
                );
            }
        };
        let mechanism = self.value_of("sasl.mechanism").map(str::to_uppercase);
        if let Some(mechanism) = mechanism.filter(|mechanism| !fits.contains(&&**mechanism)) {
            let text = format!(
                "{class} is for {}, but kafka.sasl.mechanism is {mechanism}: change one of them",
                fits.join(" and ")
            );
            return self.refuse(one, text);
        }
        if login.options.get("tokenauth").is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
            return self.refuse(one, "delegation tokens (tokenauth) are not possible here: write a user and its password");
        }
        for (option, property) in [("username", "sasl.username"), ("password", "sasl.password")] {
            match login.options.get(option) {
                Some(value) if !value.is_empty() => self.config.client.set(property, value),
                _ => self.refuse(one, format!("it has no {option}: {LINE}")),
            }
        }
    }

    pub(super) fn ciphers(&mut self, one: &Written) {
        match ciphers::openssl_names(&one.value) {
            Ok(Some(names)) => self.config.client.set("ssl.cipher.suites", &names),
            Ok(None) => self.idle(one, "the suites of TLS 1.3 are all allowed"),
            Err(wrong) => self.refuse(
                one,
                format!("`{wrong}` is no cipher suite: write it as Java or as OpenSSL has it"),
            ),
        }
    }

    pub(super) fn endpoint(&mut self, one: &Written) {
        let name = one.name.clone();
        match one.value.to_lowercase().as_str() {
            "" | "none" => self.config.client.set(&name, "none"),
            "https" => self.config.client.set(&name, "https"),
            _ => self.refuse(
                one,
                format!(
                    "`{}` is not https: write https, or nothing to leave the name unchecked",
                    one.value
                ),
            ),
        }
    }

    pub(super) fn key_password(&mut self, one: &Written) {
        self.config.client.set("ssl.key.password", &one.value);
    }

    pub(super) fn key_store(&mut self, one: &Written) {
        let password = self.value_of("ssl.keystore.password").map(str::to_owned);
        // A PEM file has one password only, that of its key.
        let password = password.or_else(|| self.value_of("ssl.key.password").map(str::to_owned));
        self.config.key_store = Some(KeyStore {
            path: join(&self.base, &one.value),
            password: Secret::new(password.unwrap_or_default()),
            key: "kafka.ssl.keystore.location",
            password_key: "kafka.ssl.keystore.password",
        });
    }

    pub(super) fn trust_store(&mut self, one: &Written) {
        let password = self.value_of("ssl.truststore.password").unwrap_or_default().to_owned();
        self.config.trust_store = Some(KeyStore {
            path: join(&self.base, &one.value),
            password: Secret::new(password),
            key: "kafka.ssl.truststore.location",
            password_key: "kafka.ssl.truststore.password",
        });
    }

    pub(super) fn store_password(&mut self, one: &Written) {
        let location = one.name.replace("password", "location");
        if self.value_of(&location).is_none() {
            self.idle(one, &format!("kafka.{location} is not written"));
        }
    }

    /// What a store is, its bytes say.
    pub(super) fn store_type(&mut self, one: &Written) {
        if !["JKS", "PKCS12", "PEM"].contains(&&*one.value.to_uppercase()) {
            let text = format!("`{}` is none of PEM, PKCS12, JKS", one.value);
            self.refuse(one, text);
        }
    }
}
