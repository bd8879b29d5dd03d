//! fastwebsockets without a parser: it returns the unparsed message. `sonic` adds the JSON of each job.
//!
//! This module performs the upgrade itself, because hyper would return a boxed stream.

use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::answer::Latency;
use crate::args::{Args, Job};
use crate::meter::{Cost, Meter};
use crate::work::{Count, Work};
use crate::{Failure, runtime, tls};

pub const JOBS: &[Job] = &[Job::Count, Job::Latency];

const CRATES: &[&str] = &["fastwebsockets", "tokio", "rustls"];

pub fn main(args: &Args) -> Result<(), Failure> {
    match &args.stamps {
        Some(stamps) if args.job == Job::Latency => {
            run(args, Latency::new(args.frames, stamps.clone(), <[u8]>::len), CRATES)
        }
        _ => run(args, Count, CRATES),
    }
}

/// Connects according to `args`, does `work` for each message until CLOSE, and prints the result.
pub fn run(args: &Args, mut work: impl Work<[u8]>, crates: &[&str]) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let tcp = TcpStream::connect((args.host.as_str(), args.port)).await?;
        tcp.set_nodelay(true)?;
        let (frames, cost) = if args.tls {
            let stream = tls::open(tcp, &args.host, args.cafile.as_deref()).await?;
            drain(upgrade(stream, &args.host, args.port, &args.path).await?, &mut work).await?
        } else {
            drain(upgrade(tcp, &args.host, args.port, &args.path).await?, &mut work).await?
        };
        cost.report(frames, work.finish(), crates);
        Ok(())
    })
}

/// Upgrades a connection to a WebSocket.
///
/// # Errors
/// When the server refuses it.
pub async fn upgrade<S>(mut stream: S, host: &str, port: u16, path: &str) -> Result<FragmentCollector<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    // One byte at a time, because frames may follow the head of the response.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("no upgrade: {}", String::from_utf8_lossy(&head)).into());
    }
    // No buffer: fastwebsockets has its own, grows it to the size of a read, and lends the payloads from it.
    let mut socket = WebSocket::after_handshake(stream, Role::Client);
    socket.set_auto_close(false);
    socket.set_auto_pong(false);
    Ok(FragmentCollector::new(socket))
}

async fn drain<S>(mut socket: FragmentCollector<S>, work: &mut impl Work<[u8]>) -> Result<(u64, Cost), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = 0;
    let meter = Meter::start();
    socket.write_frame(Frame::text(Payload::Borrowed(b"go"))).await?;
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => {
                work.message(&frame.payload);
                frames += 1;
            }
            OpCode::Close => return Ok((frames, meter.stop())),
            OpCode::Ping => socket.write_frame(Frame::pong(frame.payload)).await?,
            OpCode::Pong | OpCode::Continuation => {}
        }
    }
}
