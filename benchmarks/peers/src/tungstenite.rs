//! tokio-tungstenite without a parser: it returns the unparsed message.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::answer::Latency;
use crate::args::{Args, Job};
use crate::meter::{Cost, Meter};
use crate::work::{Count, Work};
use crate::{Failure, runtime, tls};

pub const JOBS: &[Job] = &[Job::Count, Job::Latency];

const CRATES: &[&str] = &["tokio-tungstenite", "tungstenite", "tokio", "rustls"];

/// Four times the default: fewer system calls, as its documentation advises for high loads.
const READ_BUFFER: usize = 512 * 1024;

pub fn main(args: &Args) -> Result<(), Failure> {
    match &args.stamps {
        Some(stamps) if args.job == Job::Latency => run(args, Latency::new(args.frames, stamps.clone(), Message::len)),
        _ => run(args, Count),
    }
}

fn run(args: &Args, mut work: impl Work<Message>) -> Result<(), Failure> {
    let scheme = if args.tls { "wss" } else { "ws" };
    let url = format!("{scheme}://{}:{}{}", args.host, args.port, args.path);
    let config = Some(WebSocketConfig::default().read_buffer_size(READ_BUFFER));
    runtime()?.block_on(async {
        let tcp = TcpStream::connect((args.host.as_str(), args.port)).await?;
        tcp.set_nodelay(true)?;
        let (frames, cost) = if args.tls {
            let stream = tls::open(tcp, &args.host, args.cafile.as_deref()).await?;
            drain(client_async_with_config(url, stream, config).await?.0, &mut work).await?
        } else {
            drain(client_async_with_config(url, tcp, config).await?.0, &mut work).await?
        };
        cost.report(frames, work.finish(), CRATES);
        Ok(())
    })
}

async fn drain<S>(mut socket: WebSocketStream<S>, work: &mut impl Work<Message>) -> Result<(u64, Cost), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = 0;
    let meter = Meter::start();
    socket.send(Message::text("go")).await?;
    while let Some(message) = socket.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => {
                work.message(&message);
                frames += 1;
            }
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {} // tungstenite itself replies
        }
    }
    Ok((frames, meter.stop()))
}
