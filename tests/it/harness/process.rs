//! Child processes that die with the tests.
//!
//! The kernel kills a child when its parent *thread* ends (`PR_SET_PDEATHSIG`, set by
//! `setpriv`), and a test's thread ends before others have done with a shared server. So one
//! thread, which lives as long as the process, starts all children.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

/// A running program; dropped, it is killed.
pub(crate) struct Process {
    name: String,
    child: Child,
}

/// A command that runs `program` and is killed with this process.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The same program with a file system of `mib` MiB of its own mounted on `folder`, seen by
/// nobody else; full already, if so wanted.
pub(crate) fn command_on_small_disk(
    program: &Path,
    folder: &Path,
    mib: u32,
    full: bool,
) -> Command {
    let folder = folder.display();
    let fill =
        if full { format!("head -c {mib}M /dev/zero >{folder}/filler") } else { "true".to_owned() };
    let script = format!(
        "mount -t tmpfs -o size={mib}m none {folder} && {fill}
        exec setpriv --pdeathsig KILL -- {} \"$@\"",
        program.display()
    );
    let mut command = private_mounts();
    command.args(["sh", "-c", &script, "sh"]);
    command
}

/// Whether [`command_on_small_disk`] works here.
pub(crate) fn may_mount() -> bool {
    let folder = tempfile::TempDir::with_prefix("sluice-mount-").unwrap();
    let script = format!("mount -t tmpfs none {}", folder.path().display());
    let output = private_mounts().args(["sh", "-c", &script]).output();
    output.is_ok_and(|output| output.status.success())
}

fn private_mounts() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn starter() -> &'static mpsc::Sender<Order> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("starter of processes".to_owned())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            })
            .unwrap();
        orders
    })
}

impl Process {
    /// Starts what [`command`] made.
    pub(crate) fn start(name: &str, command: Command) -> Self {
        let (answer, child) = mpsc::channel();
        starter().send((command, answer)).unwrap();
        let child = child.recv().unwrap().unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { name: name.to_owned(), child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL, and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; panics if it has not ended within `limit`.
    pub(crate) fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(limit)
    }

    /// Waits for its end; panics if that takes longer than `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begun.elapsed() < limit, "{} has not ended within {limit:?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(self.id().to_string());
        assert!(kill.status().unwrap().success(), "kill -{signal} {}", self.name);
    }

    /// The largest resident set so far, in bytes (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The resident set, in bytes (`VmRSS`).
    pub(crate) fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// How many sockets it has open.
    pub(crate) fn open_sockets(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// The processor time it has taken so far, in user and system mode.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // Behind the name in brackets; fields 14 and 15 of proc(5), in ticks of 10 ms.
        let fields = stat.rsplit_once(')').unwrap().1;
        let ticks = fields.split_whitespace().skip(11).take(2);
        Duration::from_millis(ticks.map(|one| one.parse::<u64>().unwrap() * 10).sum())
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of loopback that nobody listens on, below those the kernel gives to connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = u16::try_from(std::process::id() % 113).unwrap() * 100;
        let port = 20_000 + (spread + step) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
