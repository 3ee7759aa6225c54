//! Servers in containers, by the crate `testcontainers`: only in a build with the feature `docker`, so
//! that nobody else has to build what it needs.
//!
//! In: a [`Definition`]. Out: a container, whose server is reached at a port of loopback. It ends with
//! what holds it; those of the shared servers are held until the process ends, and are removed by the
//! next one that makes a container.

#[cfg(feature = "docker")]
pub(super) use built::Container;
#[cfg(not(feature = "docker"))]
pub(super) use not_built::Container;

/// What a container is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its image
    pub(super) image: &'static str,
    /// and the tag of that.
    pub(super) tag: &'static str,
    /// What the server is started with.
    pub(super) options: Vec<String>,
    /// `NAME=value` of its environment.
    pub(super) variables: Vec<String>,
}

#[cfg(not(feature = "docker"))]
mod not_built {
    use super::Definition;

    /// There is none in this build.
    pub(in crate::harness) enum Container {}

    impl Container {
        #[expect(
            clippy::unnecessary_box_returns,
            reason = "there is no value of it: unboxed, all behind it would count as unreachable"
        )]
        pub(in crate::harness) fn run(definition: Definition, _: u16) -> Box<Self> {
            let Definition { image, tag, options, variables } = definition;
            panic!(
                "SLUICE_TEST_DOCKER=1 asks for a container of {image}:{tag} ({}; {}), and these tests \
                 were built without: SLUICE_TEST_DOCKER=1 cargo test --locked --features docker",
                options.join(" "),
                variables.join(" ")
            )
        }

        pub(in crate::harness) fn start(&self) {
            match *self {}
        }

        pub(in crate::harness) fn stop(&self) {
            match *self {}
        }

        pub(in crate::harness) fn signal(&self, _: &str) {
            match *self {}
        }

        pub(in crate::harness) fn run_inside(&self, _: &[&str]) {
            match *self {}
        }
    }
}

#[cfg(feature = "docker")]
mod built {
    use std::collections::HashMap;
    use std::fmt::Display;
    use std::path::Path;
    use std::sync::{LazyLock, OnceLock};

    use testcontainers::bollard::Docker;
    use testcontainers::bollard::query_parameters::{
        KillContainerOptions, ListContainersOptions, RemoveContainerOptions,
    };
    use testcontainers::core::client::docker_client_instance;
    use testcontainers::core::{ExecCommand, IntoContainerPort};
    use testcontainers::runners::AsyncRunner;
    use testcontainers::{ContainerAsync, GenericImage, ImageExt};

    use super::Definition;

    /// The label of all of them: the process that made it.
    pub(super) const OF_PROCESS: &str = "sluice-test-process";

    const PORT: u16 = 3306;

    pub(in crate::harness) struct Container(Option<ContainerAsync<GenericImage>>);

    impl Container {
        /// One of that image and tag, with the server's port on this one of loopback.
        pub(in crate::harness) fn run(definition: Definition, port: u16) -> Box<Self> {
            let Definition { image, tag, options, variables } = definition;
            let image = GenericImage::new(image, tag).with_exposed_port(PORT.tcp());
            let mut request = image
                .with_mapped_port(port, PORT.tcp())
                .with_label(OF_PROCESS, std::process::id().to_string())
                .with_cmd(options)
                .with_host_config_modifier(|host| {
                    // Anybody could log in from elsewhere: root has no password.
                    let bindings = host.port_bindings.iter_mut().flat_map(HashMap::values_mut);
                    for binding in bindings.flatten().flatten() {
                        binding.host_ip = Some("127.0.0.1".to_owned());
                    }
                });
            for (name, value) in variables.iter().filter_map(|both| both.split_once('=')) {
                request = request.with_env_var(name, value);
            }
            let container = done("start a container", async {
                remove_those_of_the_dead().await;
                request.start().await
            });
            Box::new(Self(Some(container)))
        }

        pub(in crate::harness) fn start(&self) {
            done("start a container again", self.inner().start());
        }

        pub(in crate::harness) fn stop(&self) {
            done("stop a container", self.inner().stop());
        }

        /// Sends it a signal: `KILL`, `STOP`, `CONT`.
        pub(in crate::harness) fn signal(&self, signal: &str) {
            let options = Some(KillContainerOptions { signal: signal.to_owned() });
            let id = self.inner().id().to_owned();
            done(
                "signal a container",
                async move { docker().await.kill_container(&id, options).await },
            );
        }

        pub(in crate::harness) fn run_inside(&self, command: &[&str]) {
            let command = ExecCommand::new(command.iter().copied());
            done("run a command in a container", self.inner().exec(command));
        }

        fn inner(&self) -> &ContainerAsync<GenericImage> {
            self.0.as_ref().expect("it is held until it is dropped")
        }
    }

    impl Drop for Container {
        fn drop(&mut self) {
            if let Some(container) = self.0.take() {
                done("remove a container", container.rm());
            }
        }
    }

    async fn docker() -> Docker {
        docker_client_instance().await.unwrap_or_else(|error| no_docker(&error))
    }

    fn no_docker(error: &impl Display) -> ! {
        panic!(
            "SLUICE_TEST_DOCKER=1 asks for containers, and no Docker daemon answers (DOCKER_HOST, \
             or /var/run/docker.sock): {error}"
        )
    }

    /// Once in a process.
    async fn remove_those_of_the_dead() {
        static DONE: OnceLock<()> = OnceLock::new();
        if DONE.set(()).is_err() {
            return;
        }
        let docker = docker().await;
        let filters = HashMap::from([("label".to_owned(), vec![OF_PROCESS.to_owned()])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let all = docker.list_containers(Some(options)).await;
        for one in all.unwrap_or_else(|error| no_docker(&error)) {
            let process = one.labels.and_then(|labels| labels.get(OF_PROCESS).cloned());
            let is_dead = process.is_some_and(|id| !Path::new("/proc").join(id).exists());
            if let Some(id) = one.id.filter(|_| is_dead) {
                let force = RemoveContainerOptions { force: true, ..Default::default() };
                let _ = docker.remove_container(&id, Some(force)).await;
            }
        }
    }

    /// Runs it to its end, whoever waits: tests have runtimes of their own.
    fn done<T: Send, E: Display + Send>(
        what: &str,
        future: impl Future<Output = Result<T, E>> + Send,
    ) -> T {
        static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap()
        });
        let ended = std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(future)).join());
        match ended {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => panic!("SLUICE_TEST_DOCKER=1: cannot {what}: {error}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(all(test, feature = "docker"))]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::sync::mpsc::{Sender, channel};

    use serde_json::Value;

    use super::{Container, Definition};

    /// Set in the process that asks for a container: which daemon is asked holds for all of it.
    const ASKS: &str = "SLUICE_TEST_ASKS_FOR_CONTAINER";

    #[test]
    fn a_daemon_is_asked_for_what_the_definition_says() {
        const TEST: &str = "a_daemon_is_asked_for_what_the_definition_says";
        if std::env::var_os(ASKS).is_some() {
            drop(Container::run(definition(), 13306));
            return;
        }
        let daemon = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = daemon.local_addr().unwrap();
        let (asked, questions) = channel();
        std::thread::spawn(move || {
            for stream in daemon.incoming().flatten() {
                let asked = asked.clone();
                std::thread::spawn(move || serve(stream, &asked));
            }
        });
        let (success, said) = asks(TEST, &address.to_string());
        let questions: Vec<(String, String)> = questions.try_iter().collect();
        let lines: Vec<&str> = questions.iter().map(|(line, _)| line.as_str()).collect();
        assert!(success, "{said}\n{lines:#?}");
        let (_, body) =
            questions.iter().find(|(line, _)| line.starts_with("POST /containers/create")).unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["Image"], "mysql:9");
        assert_eq!(body["Cmd"], serde_json::json!(["--server-id=1", "--log-bin=binlog"]));
        assert_eq!(body["Env"], serde_json::json!(["TZ=Europe/Berlin"]));
        let bindings = serde_json::json!(
            {"3306/tcp": [{"HostIp": "127.0.0.1", "HostPort": "13306"}]});
        assert_eq!(body["HostConfig"]["PortBindings"], bindings);
        assert!(body["Labels"][super::built::OF_PROCESS].is_string(), "{body}");
        let at = |start: &str| lines.iter().position(|line| line.starts_with(start));
        let (started, removed) = (at("POST /containers/abc/start"), at("DELETE /containers/abc"));
        assert!(started.is_some() && started < removed, "{lines:#?}");
        // One of a process that has ended.
        assert!(at("DELETE /containers/old").is_some(), "{lines:#?}");
    }

    #[test]
    fn without_a_daemon_one_sentence_says_so() {
        const TEST: &str = "without_a_daemon_one_sentence_says_so";
        if std::env::var_os(ASKS).is_some() {
            drop(Container::run(definition(), 13306));
            return;
        }
        // Nobody listens there any more.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (success, said) = asks(TEST, &address.to_string());
        let wanted = "SLUICE_TEST_DOCKER=1 asks for containers, and no Docker daemon answers";
        assert!(!success && said.matches(wanted).count() == 1, "{said}");
    }

    fn definition() -> Definition {
        Definition {
            image: "mysql",
            tag: "9",
            options: vec!["--server-id=1".to_owned(), "--log-bin=binlog".to_owned()],
            variables: vec!["TZ=Europe/Berlin".to_owned()],
        }
    }

    /// Runs one of these tests in a process of its own; whether it succeeds, and what it says.
    fn asks(test: &str, daemon: &str) -> (bool, String) {
        let name = format!("harness::containers::tests::{test}");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(ASKS, "1")
            .env("DOCKER_HOST", format!("tcp://{daemon}"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Answers as the daemon does, as far as it is asked here (Docker Engine API).
    fn serve(stream: TcpStream, asked: &Sender<(String, String)>) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            let mut length = 0;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).ok()?;
                let Some((name, value)) = header.split_once(':') else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let (status, answer) = answer(&line);
            let _ = asked.send((line, String::from_utf8(body).ok()?));
            let length = answer.len();
            write!(
                writer,
                "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: \
                 {length}\r\n\r\n{answer}"
            )
            .ok()?;
        }
    }

    fn answer(question: &str) -> (u16, &'static str) {
        let mut words = question.split([' ', '?']);
        match (words.next().unwrap(), words.next().unwrap()) {
            ("GET", "/containers/json") => {
                (200, r#"[{"Id":"old","Labels":{"sluice-test-process":"4194305"}}]"#)
            }
            ("POST", "/containers/create") => (201, r#"{"Id":"abc","Warnings":[]}"#),
            ("POST", "/containers/abc/start") | ("DELETE", _) => (204, ""),
            ("GET", "/containers/abc/json") => (200, r#"{"Id":"abc"}"#),
            _ => (404, r#"{"message":"not asked in this test"}"#),
        }
    }
}
