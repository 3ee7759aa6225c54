//! The connections of the port: how many there are, how long each may keep us, and their end.
//!
//! In: a bound socket and the routes. Out: answers, until `stop` resolves. Anybody may connect
//! here, so nothing that a client leaves undone lasts: the head of a request and its body have
//! to come within [`HEAD_TIME`] and [`BODY_TIME`], and who takes nothing of an answer for
//! [`ANSWER_TIME`] gets no more of it. Of connections there are at most [`MOST_CONNECTIONS`] from
//! this machine, and as many from others, who so cannot keep out a command; one too many is
//! closed. At `stop` a request in hand has [`STOP_TIME`] to be answered.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Peer, failure};
use crate::shutdown::Tasks;

/// Connections at once: far more than probes, scrapers and commands make.
pub(super) const MOST_CONNECTIONS: usize = 128;

/// For the head of a request, of the first and, on a connection that is kept, of the next.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);

/// For the body of a request.
const BODY_TIME: Duration = Duration::from_secs(10);

/// For an answer of which the client takes nothing.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// For requests in hand when it is time to stop.
pub(super) const STOP_TIME: Duration = Duration::from_secs(3);

/// The largest body of a request: a GTID set is the largest thing that anybody sends.
const MOST_BODY: usize = 2 << 20;

/// How long to wait when the system has no connection to give (too many open files).
const BACK_OFF: Duration = Duration::from_millis(500);

/// Serves until `stop` resolves, and ends within [`STOP_TIME`] then. Priorities: stop, the next
/// connection.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let tasks = Tasks::new();
    let accepting = accept(&listener, &routes, &tasks);
    tokio::select! {
        biased;
        () = stop => {}
        never = accepting => match never {},
    }
    drop(listener);
    tasks.cancel();
    let panicked = tasks.join().await;
    if panicked.is_empty() { Ok(()) } else { Err(io::Error::other("a request panicked")) }
}

async fn accept(
    listener: &TcpListener,
    routes: &Router,
    tasks: &Tasks,
) -> std::convert::Infallible {
    let places = || Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let (ours, others) = (places(), places());
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a client of the health port could not connect");
                sleep(BACK_OFF).await;
                continue;
            }
        };
        let peer = Peer(client.ip());
        let places = if peer.is_here() { &ours } else { &others };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            tracing::debug!(%client, "too many connections to the health port: closed");
            continue;
        };
        let stopped = tasks.token().clone();
        tasks.spawn("admin connection", serve_one(stream, peer, routes.clone(), stopped, place));
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: Peer,
    routes: Router,
    stopped: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let routes = routes.layer(axum::Extension(ConnectInfo(peer)));
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(
                TokioIo::new(Answered::new(stream)),
                TowerToHyperService::new(routes)
            )
    );
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = stopped.cancelled() => {
            served.as_mut().graceful_shutdown();
            match timeout(STOP_TIME, served).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "a request to the health port was given up");
    }
}

/// Has the body of a request before it is judged: who leaves it out keeps nobody waiting.
pub(super) async fn read_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match timeout(BODY_TIME, to_bytes(body, MOST_BODY)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(error)) => {
            let text = format!("the body of the request cannot be read: {error}");
            failure(StatusCode::BAD_REQUEST, text)
        }
        Err(_) => {
            let text = format!("the body of the request did not come within {BODY_TIME:?}");
            failure(StatusCode::REQUEST_TIMEOUT, text)
        }
    }
}

/// A stream whose other side is to take what is written to it: an error once nothing moves for
/// [`ANSWER_TIME`].
struct Answered<S> {
    stream: S,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Answered<S> {
    fn new(stream: S) -> Self {
        Self { stream, waiting: None }
    }

    /// What a write came to, or that it has waited too long.
    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = || Box::pin(tokio::time::sleep_until(Instant::now() + ANSWER_TIME));
        ready!(self.waiting.get_or_insert_with(limit).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Answered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Answered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.timed(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timed(context, ended)
    }
}
