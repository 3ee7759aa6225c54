//! Passwords and certificates that the configuration names but does not hold: `${file:PATH}`
//! and `${exec:COMMAND}` in a password, and the key stores of TLS.
//!
//! In: the settings of an instance. Out: what asks for them at each connect ([`Ask`]), since
//! secrets are rotated; nothing, if all is in the configuration.
//! Always: nothing of a secret is printed; a file is regular and of at most [`LARGEST`] bytes,
//! and is read on the blocking pool; a command gets [`PATIENCE`], and its output the same bound;
//! an error names the key, where it is written, and the file or command.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::stores;
use crate::config::{Instance, KeyStore, Problem, closing_brace};
use crate::mysql::{Ask, Credentials};
use crate::shutdown::Tasks;

const PASSWORD: &str = "canal.instance.dbPassword";

/// No password, token or chain of certificates is larger.
pub(super) const LARGEST: u64 = 256 * 1024;

/// How long reading one of them may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A text of the configuration, and where it is.
#[derive(Clone)]
struct Text {
    text: String,
    at: String,
}

/// A key store: its file and its password.
#[derive(Clone)]
struct Store {
    path: PathBuf,
    at: String,
    password: Text,
}

/// Makes of a file's path, its bytes and its password what a connection takes.
pub(super) type Make = fn(&Path, &[u8], &str) -> Result<Vec<u8>, String>;

/// All that an instance shows its server.
#[derive(Clone)]
pub(super) struct Sources {
    user: String,
    password: Text,
    authorities: Option<Store>,
    identity: Option<Store>,
}

/// What asks for the credentials of an instance; none if the configuration holds them.
pub(super) fn ask(instance: &Instance) -> Result<Option<Ask>, Vec<Problem>> {
    let Some(sources) = sources(instance)? else { return Ok(None) };
    let sources = Arc::new(sources);
    Ok(Some(Ask::new(move || {
        let sources = Arc::clone(&sources);
        Box::pin(async move { sources.read().await })
    })))
}

/// What is to be asked, if anything is.
pub(super) fn sources(instance: &Instance) -> Result<Option<Sources>, Vec<Problem>> {
    let config = &instance.config.source;
    let mut problems = Vec::new();
    let mut text = |key: &str, text: &str| {
        if let Err(reason) = parts(text) {
            problems.push(instance.refuse(key, reason));
        }
        Text { text: text.to_owned(), at: instance.key_and_place(key) }
    };
    let password = text(PASSWORD, config.password.reveal());
    let mut store = |store: &KeyStore| Store {
        path: store.path.clone(),
        at: instance.key_and_place(store.key),
        password: text(store.password_key, store.password.reveal()),
    };
    let tls = &config.server.tls;
    let authorities = tls.authorities.as_ref().map(&mut store);
    let identity = tls.identity.as_ref().map(&mut store);
    if !problems.is_empty() {
        return Err(problems);
    }
    let is_here = parts(&password.text).is_ok_and(|parts| parts.iter().all(Part::is_text));
    if is_here && authorities.is_none() && identity.is_none() {
        return Ok(None);
    }
    Ok(Some(Sources { user: config.user.clone(), password, authorities, identity }))
}

impl Sources {
    async fn read(&self) -> Result<Credentials, String> {
        let mut credentials = Credentials {
            user: self.user.clone(),
            password: self.password.read().await?,
            ..Credentials::default()
        };
        if let Some(store) = &self.authorities {
            credentials.authorities = store.read(stores::authorities).await?;
        }
        if let Some(store) = &self.identity {
            credentials.identity = Some(store.read(stores::identity).await?.into());
        }
        Ok(credentials)
    }
}

#[cfg(test)]
impl Sources {
    /// All of it, as text.
    pub(super) fn revealed(&self) -> String {
        let store = |store: &Store| (store.path.clone(), store.password.text.clone());
        let stores = (self.authorities.as_ref().map(store), self.identity.as_ref().map(store));
        format!("{} {} {stores:?}", self.user, self.password.text)
    }
}

/// A text with what it names in its place; `at` is where it is written.
pub(in crate::server) async fn read_text(text: &str, at: String) -> Result<String, String> {
    let text = Text { text: text.to_owned(), at };
    // What is wrong with the text itself has no place yet.
    parts(&text.text).map_err(|reason| format!("{}: {reason}", text.at))?;
    text.read().await
}

/// A key store, made into what a connection takes.
pub(super) async fn read_store(
    store: &KeyStore,
    at: String,
    password_at: String,
    make: Make,
) -> Result<Vec<u8>, String> {
    let password = Text { text: store.password.reveal().to_owned(), at: password_at };
    Store { path: store.path.clone(), at, password }.read(make).await
}

impl Store {
    /// The file, read and made into what a connection takes.
    async fn read(&self, make: Make) -> Result<Vec<u8>, String> {
        let password = self.password.read().await?;
        let path = self.path.clone();
        let made = blocking(move || make(&path, &regular_file(&path)?, &password)).await;
        made.map_err(|reason| format!("{}: {reason}", self.at))
    }
}

impl Text {
    async fn read(&self) -> Result<String, String> {
        let mut whole = String::new();
        for part in parts(&self.text)? {
            let read = match part {
                Part::Text(text) => Ok(text.to_owned()),
                Part::File(path) => {
                    let path = PathBuf::from(path);
                    blocking(move || text_of(regular_file(&path)?, &path.display())).await
                }
                Part::Exec(command) => run(command).await,
            };
            whole.push_str(&read.map_err(|reason| format!("{}: {reason}", self.at))?);
        }
        Ok(whole)
    }
}

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    File(&'a str),
    Exec(&'a str),
}

impl Part<'_> {
    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// Cuts a value; what is wrong is said without showing any of it but a path.
fn parts(value: &str) -> Result<Vec<Part<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = value;
    loop {
        let next = ["${file:", "${exec:"].iter().filter_map(|word| rest.find(word)).min();
        let Some(start) = next else { break };
        let inner = &rest[start + "${file:".len()..];
        let Some(end) = closing_brace(inner) else {
            return Err("a `${file:` or `${exec:` has no closing brace".to_owned());
        };
        found.push(Part::Text(&rest[..start]));
        let named = inner[..end].trim();
        if rest[start..].starts_with("${exec:") {
            if named.is_empty() {
                return Err("`${exec:}` names no command".to_owned());
            }
            found.push(Part::Exec(named));
        } else if Path::new(named).is_absolute() {
            found.push(Part::File(named));
        } else {
            return Err(format!("`${{file:{named}}}` must name a file from the root on"));
        }
        rest = &inner[end + 1..];
    }
    found.push(Part::Text(rest));
    found.retain(|part| *part != Part::Text(""));
    Ok(found)
}

/// Reads on the blocking pool. A file system that hangs keeps a thread there, no more.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let reading = Tasks::new().spawn_blocking("read a secret", read);
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Err("reading it failed".to_owned()),
        Err(_) => Err(format!("it cannot be read within {PATIENCE:?}")),
    }
}

/// The bytes of a regular file: a pipe would be waited for, a device would not end.
fn regular_file(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |reason: &dyn std::fmt::Display| format!("cannot read {}: {reason}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| fail(&error))?;
    if !metadata.is_file() {
        return Err(fail(&"it is no regular file"));
    }
    let too_large = || fail(&format!("it is larger than {LARGEST} bytes"));
    if metadata.len() > LARGEST {
        return Err(too_large());
    }
    let bytes = std::fs::read(path).map_err(|error| fail(&error))?;
    if bytes.len() as u64 > LARGEST { Err(too_large()) } else { Ok(bytes) }
}

/// The text without the end of its last line.
fn text_of(bytes: Vec<u8>, whose: &dyn std::fmt::Display) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|_| format!("{whose} holds no UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A command with all that it has started: a shell that is killed leaves the others running, one
/// at each connect.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: &Child) -> Self {
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The leader is not waited for yet, so the number is nobody else's. None may be left.
        self.0.map(|leader| kill_process_group(leader, Signal::KILL));
    }
}

/// What a command prints.
async fn run(command: &str) -> Result<String, String> {
    let fail = |reason: &str| format!("the command `{command}` {reason}");
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| fail(&format!("cannot be run: {error}")))?;
    let mut group = Group::of(&child);
    let Some(stdout) = child.stdout.take() else { return Err(fail("has no output")) };
    let reading = async {
        let mut printed = Vec::new();
        stdout.take(LARGEST + 1).read_to_end(&mut printed).await?;
        if printed.len() as u64 > LARGEST {
            return Ok((printed, None));
        }
        let status = child.wait().await?;
        // What it leaves running then, an agent for example, is meant to run.
        group.0 = None;
        Ok::<_, std::io::Error>((printed, Some(status)))
    };
    match tokio::time::timeout(PATIENCE, reading).await {
        Err(_) => Err(fail(&format!("has not ended within {PATIENCE:?}"))),
        Ok(Err(error)) => Err(fail(&format!("failed: {error}"))),
        Ok(Ok((_, None))) => Err(fail(&format!("prints more than {LARGEST} bytes"))),
        Ok(Ok((_, Some(status)))) if !status.success() => {
            Err(fail(&format!("ended with {status}; run it by hand to see why")))
        }
        Ok(Ok((printed, Some(_)))) => text_of(printed, &fail("prints what")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Text {
        Text { text: value.to_owned(), at: "canal.instance.dbPassword (x:7)".to_owned() }
    }

    #[test]
    fn a_value_is_cut_at_what_it_names() {
        use Part::{Exec, File, Text};
        let cuts: [(&str, &[Part<'_>]); 5] = [
            ("plain $ {file:/x}", &[Text("plain $ {file:/x}")]),
            ("${file:/run/secrets/db}", &[File("/run/secrets/db")]),
            ("a${file: /x }b${exec:y}", &[Text("a"), File("/x"), Text("b"), Exec("y")]),
            ("${exec:echo ${HOME} | jq .{a}}", &[Exec("echo ${HOME} | jq .{a}")]),
            ("", &[]),
        ];
        for (value, awaited) in cuts {
            assert_eq!(parts(value).unwrap(), awaited, "{value}");
        }
        for wrong in ["${file:relative}", "${file:}", "${exec: }", "s3cret${file:/open"] {
            let reason = parts(wrong).unwrap_err();
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_command_is_run_anew_each_time_and_the_end_of_its_line_cut_off() {
        let folder = tempfile::TempDir::new().unwrap();
        let counter = folder.path().join("n");
        let value =
            format!("a-${{exec:echo x >>{0}; wc -l <{0} | tr -d ' '}}-z", counter.display());
        let value = text(&value);
        assert_eq!(value.read().await.unwrap(), "a-1-z");
        assert_eq!(value.read().await.unwrap(), "a-2-z");
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_reported_with_key_and_place_and_no_secret() {
        let folder = tempfile::TempDir::new().unwrap();
        let large = folder.path().join("large");
        #[expect(clippy::disallowed_methods, reason = "the test's own file")]
        std::fs::write(&large, vec![b'x'; 300_000]).unwrap();
        let cases = [
            ("${file:/nowhere/at/all}".to_owned(), "/nowhere/at/all: No such file"),
            (format!("${{file:{}}}", folder.path().display()), "no regular file"),
            ("${file:/dev/zero}".to_owned(), "no regular file"),
            (format!("${{file:{}}}", large.display()), "larger than"),
            ("${exec:echo s3cret; exit 3}".to_owned(), "exit status: 3"),
            ("${exec:yes s3cret}".to_owned(), "prints more than"),
            ("${exec:printf '\\377'}".to_owned(), "no UTF-8"),
        ];
        for (value, awaited) in cases {
            let reason = text(&value).read().await.unwrap_err();
            assert!(reason.starts_with("canal.instance.dbPassword (x:7): "), "{reason}");
            assert!(reason.contains(awaited), "{reason}");
            assert!(!reason.contains("s3cret\n"), "{reason}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_does_not_end_is_given_up_with_all_that_it_started() {
        for (started, command) in [
            ("sleep 3600.25", "sleep 3600.25; true"),
            ("sleep 3600.75", "sleep 3600.75 & sleep 3600.75 | cat"),
        ] {
            let reason = text(&format!("${{exec:{command}}}")).read().await.unwrap_err();
            assert!(reason.contains("has not ended"), "{reason}");
            // The system takes a moment to end what was killed.
            while is_running(started) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Whether a process was started by these words.
    fn is_running(words: &str) -> bool {
        let line: Vec<u8> =
            words.split(' ').flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        let processes = std::fs::read_dir("/proc").unwrap();
        let lines =
            processes.filter_map(|one| std::fs::read(one.ok()?.path().join("cmdline")).ok());
        lines.into_iter().any(|one| one == line)
    }
}
