//! Where the configuration lies, and the reading of its files: `config` itself is pure.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{self, Environment, Files, Problems, ReadFile, Settings};
use crate::server::{Reloaded, Stamp, Stamps};

/// What a command reads settings from. Reading again gives what is there then.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// `SLUICE_HOME`.
    pub(super) path: PathBuf,
    environment: Environment,
    server_properties: Option<PathBuf>,
    with_instances: bool,
}

/// What a command line may say of the settings.
#[derive(Debug, Args)]
pub(super) struct Given {
    /// Run the log and its broker alone, as kafka-server-start does.
    #[arg(long)]
    broker_only: bool,
    /// Read this file instead of conf/server.properties.
    #[arg(long, value_name = "FILE")]
    server_properties: Option<PathBuf>,
    /// Set a key above all files; may be repeated.
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = pair)]
    overrides: Vec<(String, String)>,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Home {
    /// `SLUICE_HOME`, else what the binary lies in: `bin/sluice` or
    /// `target/<profile>/sluice`, else the current folder.
    pub(super) fn find(environment: &Environment) -> anyhow::Result<Self> {
        let path = match environment.get("SLUICE_HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home),
            None => match std::env::current_exe().ok().as_deref().and_then(around) {
                Some(home) => home,
                None => std::env::current_dir()?,
            },
        };
        let path = std::path::absolute(path)?;
        Ok(Self {
            path,
            environment: environment.clone(),
            server_properties: None,
            with_instances: true,
        })
    }

    /// The broker alone, by a `server.properties` of its own.
    pub(super) fn without_instances(mut self) -> Self {
        self.with_instances = false;
        self
    }

    /// What the command line says above the files.
    pub(super) fn with(mut self, given: Given) -> Self {
        self.server_properties = given.server_properties;
        self.environment.extend(given.overrides);
        if given.broker_only { self.without_instances() } else { self }
    }

    /// Reads all settings.
    pub(super) fn settings(&self) -> Result<Settings, Problems> {
        self.settings_and_files().settings
    }

    /// Reads all settings; and what tells the files from what they are later. They are looked at
    /// before they are read: what changes meanwhile differs.
    pub(super) fn settings_and_files(&self) -> Reloaded {
        let files = RefCell::new(Stamps::new());
        let read = |path: &Path| {
            files.borrow_mut().insert(path.to_owned(), stamp(path));
            read(path)
        };
        let settings = self.load(&read);
        Reloaded { settings, files: files.into_inner() }
    }

    fn load(&self, read: &ReadFile<'_>) -> Result<Settings, Problems> {
        let server_properties = self.server_properties.as_deref();
        config::load(
            &self.path,
            &self.environment,
            server_properties,
            self.with_instances,
            Files { read, folders: &folders },
        )
    }

    /// Whether that is the path of this home, however it is spelt.
    pub(super) fn is(&self, path: &str) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        real(Path::new(path)) == real(&self.path)
    }

    /// A variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }
}

fn around(binary: &Path) -> Option<PathBuf> {
    let folder = binary.parent()?;
    if folder.file_name()? == "bin" {
        return folder.parent().map(Path::to_owned);
    }
    let target = binary.ancestors().find(|folder| folder.file_name() == Some("target".as_ref()))?;
    target.parent().map(Path::to_owned)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    Some(Stamp { bytes: about.len(), modified: about.modified().ok(), inode: about.ino() })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn folders(path: &Path) -> Result<Vec<String>, String> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        if entry.path().is_dir()
            && let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            found.push(name);
        }
    }
    Ok(found)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_around_the_binary() {
        let home = |binary: &str| around(Path::new(binary));
        assert_eq!(home("/opt/sluice/bin/sluice"), Some("/opt/sluice".into()));
        assert_eq!(home("/src/sluice/target/release/sluice"), Some("/src/sluice".into()));
        assert_eq!(home("/usr/local/sluice"), None);
    }
}
