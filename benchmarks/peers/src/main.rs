//! The Rust peers of the benchmarks, in one program: `peers STACK --url ws[s]://... --job JOB ...`.
//!
//! A client connects in its own way, sends `go`, and passes every message to the [`work::Work`] of the job until the
//! server's CLOSE. [`collect`] writes files instead. It is one program rather than five because linking each with fat LTO
//! takes 20 s of CPU or more. README.md in this folder explains how each client is tuned.

mod answer;
mod args;
mod bezant_core;
mod collect;
mod fast;
mod meter;
mod number;
mod route;
mod sonic;
mod tls;
mod tungstenite;
mod work;

use args::Args;

/// Used because it makes bezant faster; the others showed no clear difference. README.md has the comparison.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An error of any client; the process exits with 1.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The entry point of a client.
type Main = fn(&Args) -> Result<(), Failure>;

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let (main, jobs): (Main, _) = match words.next().as_deref() {
        Some("tungstenite_alone") => (tungstenite::main, tungstenite::JOBS),
        Some("fastwebsockets_alone") => (fast::main, fast::JOBS),
        Some("fastwebsockets_sonic") => (sonic::main, sonic::JOBS),
        Some("bezant") => (bezant_core::main, bezant_core::JOBS),
        Some("fastwebsockets_parquet") => return collect::main(&collect::Args::parse_or_exit(words)),
        _ => {
            eprintln!(
                "usage: peers tungstenite_alone|fastwebsockets_alone|fastwebsockets_sonic|bezant --url URL --job JOB\n   \
                 or: peers fastwebsockets_parquet --url URL --conids NUMBER,NUMBER --frames N --out FOLDER"
            );
            std::process::exit(2);
        }
    };
    main(&Args::parse_or_exit(words, jobs))
}

/// The runtime of every client: one thread, since one connection cannot use a second.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
