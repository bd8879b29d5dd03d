//! The command line of every contender of the benchmarks.

use std::path::PathBuf;

/// The job to do for each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Count the messages that the client returns.
    Count,
    /// Its kind and conid.
    Route,
    /// Its decoded payload.
    Dict,
    /// Its L1 fields as float64 columns.
    Columns,
    /// The time at which the application has its route, or the message where the client has no route.
    Latency,
}

/// The parsed command line.
#[derive(Debug)]
pub struct Args {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
    pub job: Job,
    /// The certificate authority that the server's certificate is checked against.
    pub cafile: Option<PathBuf>,
    /// Whether to print a digest of the answers. Such a run is not timed.
    pub check: bool,
    /// How many frames to stamp (job latency).
    pub frames: usize,
    /// The file for the stamps (job latency).
    pub stamps: Option<PathBuf>,
}

impl Args {
    /// Parses a command line; prints the errors and exits with 2.
    pub fn parse_or_exit(words: impl Iterator<Item = String>, offered: &[Job]) -> Self {
        match Self::parse(words, offered) {
            Ok(args) => args,
            Err(reason) => {
                eprintln!("{reason}");
                std::process::exit(2);
            }
        }
    }

    fn parse(mut words: impl Iterator<Item = String>, offered: &[Job]) -> Result<Self, String> {
        let (mut url, mut job, mut cafile, mut check, mut frames, mut stamps) = (None, None, None, false, 0, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--url" => url = Some(value()?),
                "--job" => job = Some(job_named(&value()?, offered)?),
                "--cafile" => cafile = Some(PathBuf::from(value()?)),
                "--check" => check = true,
                "--frames" => frames = value()?.parse().map_err(|_| "--frames needs a number".to_owned())?,
                "--stamps" => stamps = Some(PathBuf::from(value()?)),
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        let url = url.ok_or("--url ws[s]://HOST:PORT/PATH is missing")?;
        let job = job.ok_or_else(|| format!("--job is missing; supported are {offered:?}"))?;
        if job == Job::Latency && (stamps.is_none() || frames == 0) {
            return Err("--job latency needs --frames N and --stamps FILE".to_owned());
        }
        let (tls, host, port, path) = split_url(&url).ok_or_else(|| format!("not ws[s]://HOST:PORT/PATH: {url}"))?;
        Ok(Self { tls, host, port, path, job, cafile, check, frames, stamps })
    }
}

fn job_named(name: &str, offered: &[Job]) -> Result<Job, String> {
    let job = match name {
        "count" => Job::Count,
        "route" => Job::Route,
        "dict" => Job::Dict,
        "columns" => Job::Columns,
        "latency" => Job::Latency,
        _ => return Err(format!("no such job: {name}")),
    };
    if offered.contains(&job) {
        Ok(job)
    } else {
        Err(format!("job {name} is not supported; supported are {offered:?}"))
    }
}

/// Splits `ws[s]://HOST:PORT/PATH` into whether it is TLS, the host, the port and the path.
pub fn split_url(url: &str) -> Option<(bool, String, u16, String)> {
    let (tls, rest) = match url.strip_prefix("ws://") {
        Some(rest) => (false, rest),
        None => (true, url.strip_prefix("wss://")?),
    };
    let (authority, path) = rest.split_once('/')?;
    let (host, port) = authority.rsplit_once(':')?;
    Some((tls, host.to_owned(), port.parse().ok()?, format!("/{path}")))
}
