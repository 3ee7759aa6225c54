//! A way to a server that can be shut while others reach it still.
//!
//! In: the server's port, and from time to time a [`Way`]. Out: a port that forwards to it,
//! whatever is spoken.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives.
    Open,
    /// It does not, and nobody is told.
    Silent,
    /// Connections end, and none can be made.
    Shut,
}

/// The gate; it stays for as long as the tests run.
#[derive(Clone)]
pub(crate) struct Gate {
    port: u16,
    way: Arc<Mutex<Way>>,
}

impl Gate {
    /// An open one, to this port of this machine.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Self { port, way: Arc::new(Mutex::new(Way::Open)) };
        let way = Arc::clone(&gate.way);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if *way.lock().unwrap() == Way::Shut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let way = Arc::clone(&way);
                    std::thread::spawn(move || forward(from, to, &way));
                }
            }
        });
        gate
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What happens from now on.
    pub(crate) fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, way: &Mutex<Way>) {
    const LOOK: Duration = Duration::from_millis(20);
    from.set_read_timeout(Some(LOOK)).unwrap();
    to.set_nodelay(true).unwrap();
    let mut bytes = vec![0; 65536];
    loop {
        let now = *way.lock().unwrap();
        match now {
            Way::Shut => break,
            Way::Silent => {
                std::thread::sleep(LOOK);
                continue;
            }
            Way::Open => {}
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => {
                if to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            Err(error) => {
                use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
                if !matches!(error.kind(), Interrupted | TimedOut | WouldBlock) {
                    break;
                }
            }
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
