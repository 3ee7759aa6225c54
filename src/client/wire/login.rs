//! SASL: PLAIN (RFC 4616) and SCRAM (RFC 5802), inside SaslHandshake and SaslAuthenticate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::rand::rand_bytes;
use openssl::sign::Signer;

use super::Wire;
use crate::config::Properties;

/// The most rounds that we compute for a server, which chooses their number.
const MOST_ROUNDS: usize = 1 << 20;

/// Logs in by the mechanism that the properties name.
pub(super) fn log_in(wire: &mut Wire, properties: &Properties) -> Result<(), String> {
    let mechanism = properties.get("sasl.mechanism").unwrap_or_default();
    let user = properties.get("sasl.username").unwrap_or_default();
    let password = properties.get("sasl.password").unwrap_or_default();
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_string(mechanism.to_owned()));
    let answer = wire.ask(&request, 1)?;
    if answer.error_code != 0 {
        let offered: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
        return Err(wire.fail(&format!(
            "offers the logins {}, not {mechanism}: write one of them as kafka.sasl.mechanism",
            offered.join(", ")
        )));
    }
    let mut login = Login { wire, mechanism, user };
    let (digest, size) = match mechanism {
        "PLAIN" => return login.say(format!("\0{user}\0{password}")).map(drop),
        "SCRAM-SHA-256" => (MessageDigest::sha256(), 32),
        _ => (MessageDigest::sha512(), 64),
    };
    login.scram(digest, size, password)
}

struct Login<'a> {
    wire: &'a mut Wire,
    mechanism: &'a str,
    user: &'a str,
}

impl Login<'_> {
    /// One message there, one back.
    fn say(&mut self, message: String) -> Result<String, String> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
        let answer = self.wire.ask(&request, 2)?;
        if answer.error_code == 0 {
            return Ok(String::from_utf8_lossy(&answer.auth_bytes).into_owned());
        }
        let reason = match (ResponseError::try_from_code(answer.error_code), &answer.error_message)
        {
            (_, Some(message)) if !message.is_empty() => message.as_str().to_owned(),
            (Some(error), _) => format!("{error:?}"),
            (None, _) => "error".to_owned(),
        };
        Err(self.refused(&reason))
    }

    fn refused(&self, reason: &str) -> String {
        let Self { wire, mechanism, user } = self;
        wire.fail(&format!(
            "refuses the login of `{user}` by {mechanism} ({reason}): look at user and password in kafka.sasl.jaas.config, and whether the cluster has this user for this mechanism"
        ))
    }

    fn scram(&mut self, digest: MessageDigest, size: usize, password: &str) -> Result<(), String> {
        let mut nonce = [0; 18];
        rand_bytes(&mut nonce).map_err(|error| error.to_string())?;
        let nonce = STANDARD.encode(nonce);
        // `=` and `,` have a meaning in the message.
        let user = self.user.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={user},r={nonce}");
        let second = self.say(format!("n,,{first}"))?;
        let part = |name: &str| {
            second.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let salt = part("s").and_then(|salt| STANDARD.decode(salt).ok());
        let rounds = part("i").and_then(|rounds| rounds.parse::<usize>().ok());
        let rounds = rounds.filter(|rounds| (1..=MOST_ROUNDS).contains(rounds));
        let theirs = part("r").filter(|theirs| theirs.starts_with(&nonce));
        let (Some(salt), Some(rounds), Some(theirs)) = (salt, rounds, theirs) else {
            return Err(self.refused("its challenge cannot be read"));
        };
        let bare = format!("c=biws,r={theirs}");
        let signed = format!("{first},{second},{bare}");
        let prove = || {
            let mut salted = vec![0; size];
            openssl::pkcs5::pbkdf2_hmac(password.as_bytes(), &salt, rounds, digest, &mut salted)?;
            let client = hmac(digest, &salted, b"Client Key")?;
            let stored = hash(digest, &client)?;
            let signature = hmac(digest, &stored, signed.as_bytes())?;
            let proof: Vec<u8> = client.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
            let server = hmac(digest, &salted, b"Server Key")?;
            Ok((STANDARD.encode(proof), STANDARD.encode(hmac(digest, &server, signed.as_bytes())?)))
        };
        let proved: Result<_, openssl::error::ErrorStack> = prove();
        let (proof, signature) = proved.map_err(|error| error.to_string())?;
        let last = self.say(format!("{bare},p={proof}"))?;
        if last.split(',').any(|part| part.strip_prefix("v=") == Some(&signature)) {
            return Ok(());
        }
        Err(self.refused("it does not know the password itself"))
    }
}

fn hmac(
    digest: MessageDigest,
    key: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(digest, &key)?;
    signer.sign_oneshot_to_vec(text)
}
