//! Names of cipher suites: Java writes those of the IANA registry, OpenSSL its own.

/// The list for OpenSSL; none if only suites of TLS 1.3 were named, which have a list of their own
/// that librdkafka leaves as it is. An error is the name that is neither.
pub(super) fn openssl_names(list: &str) -> Result<Option<String>, String> {
    let mut names = Vec::new();
    for name in list.split([',', ':']).map(str::trim).filter(|name| !name.is_empty()) {
        match name.strip_prefix("TLS_") {
            // TLS_AES_256_GCM_SHA384: no word of how keys are exchanged.
            Some(rest) if !rest.contains("_WITH_") => {}
            Some(rest) => names.push(openssl_name(rest).ok_or_else(|| name.to_owned())?),
            // OpenSSL's notation has signs of its own.
            None if is_openssl(name) => names.push(name.to_owned()),
            None => return Err(name.to_owned()),
        }
    }
    Ok(Some(names.join(":")).filter(|names| !names.is_empty()))
}

/// `ECDHE_RSA_WITH_AES_256_GCM_SHA384` as `ECDHE-RSA-AES256-GCM-SHA384`.
fn openssl_name(name: &str) -> Option<String> {
    let (exchange, cipher) = name.split_once("_WITH_")?;
    let cipher = if cipher == "CHACHA20_POLY1305_SHA256" {
        "CHACHA20-POLY1305".to_owned()
    } else {
        let sizes = [("AES_", "AES"), ("CAMELLIA_", "CAMELLIA"), ("ARIA_", "ARIA")];
        let (before, after) = sizes.iter().find(|(before, _)| cipher.starts_with(before))?;
        cipher.replace("_CBC_", "_").replacen(before, after, 1).replace('_', "-")
    };
    match exchange {
        "RSA" => Some(cipher),
        _ => Some(format!("{}-{cipher}", exchange.replace('_', "-"))),
    }
}

fn is_openssl(name: &str) -> bool {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "-+!@=_".contains(letter);
    name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenSSL's own table of both names.
    #[test]
    fn each_suite_that_java_offers_has_openssls_name() {
        let mut translated = 0;
        for line in include_str!("../../../tests/golden/kafka/ciphers.txt").lines() {
            let (standard, own) = line.split_once('\t').unwrap();
            // Those that Java's providers have.
            let offered = ["ECDHE_ECDSA", "ECDHE_RSA", "DHE_RSA", "RSA"].iter().any(|exchange| {
                ["AES_128_GCM", "AES_256_GCM", "AES_128_CBC", "AES_256_CBC", "CHACHA20_POLY1305"]
                    .iter()
                    .any(|cipher| standard.starts_with(&format!("TLS_{exchange}_WITH_{cipher}")))
            });
            if offered {
                assert_eq!(openssl_names(standard), Ok(Some(own.to_owned())), "{standard}");
                translated += 1;
            } else if standard.starts_with("TLS_AES") {
                assert_eq!(openssl_names(standard), Ok(None));
            }
        }
        assert!(translated > 15, "{translated}");
        assert_eq!(openssl_names("HIGH:!aNULL"), Ok(Some("HIGH:!aNULL".to_owned())));
        assert_eq!(openssl_names("TLS_X_WITH_Y").unwrap_err(), "TLS_X_WITH_Y");
    }
}
