//! Time, memory and versions of this process, and the line of JSON that reports them.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;

/// The lock file of this build: the versions that were measured.
const LOCK: &str = include_str!("../Cargo.lock");

fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec for the kernel to write to, and the clocks of this module exist on every Linux.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut now) };
    assert_eq!(failed, 0, "clock_gettime");
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the sender's stamps.
pub fn monotonic_ns() -> i64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since the Unix epoch.
pub fn epoch_ns() -> i64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// The CPU time of this thread in nanoseconds.
pub fn thread_cpu_ns() -> i64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The memory of this program now, in megabytes.
#[allow(clippy::cast_precision_loss)] // far below 2^53
pub fn memory_mb() -> f64 {
    status_kib("VmRSS:") as f64 * 1024.0 / 1e6
}

fn usage() -> libc::rusage {
    // SAFETY: all zeros is a valid rusage, and the kernel writes to nothing but it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0, "getrusage");
        usage
    }
}

fn cpu_ns(usage: &libc::rusage) -> i64 {
    [usage.ru_utime, usage.ru_stime].iter().map(|time| time.tv_sec * 1_000_000_000 + time.tv_usec * 1_000).sum()
}

/// Started just before `go` is sent, finished when CLOSE is received.
pub struct Meter {
    wall_ns: i64,
    cpu_ns: i64,
}

/// The peak memory of this program. `ru_maxrss` would include that of the parent at the fork.
fn max_rss_kib() -> i64 {
    status_kib("VmHWM:")
}

fn status_kib(name: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let kib = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB")?.trim().parse().ok());
    kib.expect("a line NAME: N kB")
}

impl Meter {
    pub fn start() -> Self {
        Self { cpu_ns: cpu_ns(&usage()), wall_ns: monotonic_ns() }
    }

    /// The cost of the drain.
    pub fn stop(&self) -> Cost {
        let wall_ns = monotonic_ns() - self.wall_ns;
        Cost { wall_ns, cpu_ns: cpu_ns(&usage()) - self.cpu_ns, max_rss_kib: max_rss_kib() }
    }
}

/// The cost of one drain for this process.
pub struct Cost {
    wall_ns: i64,
    cpu_ns: i64,
    max_rss_kib: i64,
}

impl Cost {
    /// Prints the report: one line of JSON. `crates` names the crates whose versions matter to the result.
    pub fn report(&self, frames: u64, digest: Option<u64>, crates: &[&str]) {
        self.report_with(frames, crates, json!({ "digest": digest.map(|digest| format!("{digest:016x}")) }));
    }

    /// Prints the report with `others`, the members that only some jobs have.
    pub fn report_with(&self, frames: u64, crates: &[&str], others: serde_json::Value) {
        let mut versions: serde_json::Map<String, serde_json::Value> =
            crates.iter().map(|name| ((*name).to_owned(), locked_version(name).into())).collect();
        versions.insert("rustc".to_owned(), env!("PEERS_RUSTC").into());
        let mut report = json!({
            "frames": frames,
            "wall_ns": self.wall_ns,
            "cpu_ns": self.cpu_ns,
            "max_rss_kib": self.max_rss_kib,
            "versions": versions,
        });
        if let (Some(report), serde_json::Value::Object(mut others)) = (report.as_object_mut(), others) {
            report.append(&mut others);
        }
        println!("{report}");
    }
}

/// The version of a crate in the lock file. Of two versions of one crate this is the newer, which comes last.
fn locked_version(name: &str) -> &'static str {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let found = LOCK.rfind(&entry).unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
    let version = &LOCK[found + entry.len()..];
    &version[..version.find('"').expect("a closing quote")]
}

/// The times of the first frames, in memory until the drain is over.
pub struct Stamps {
    times: Vec<i64>,
}

impl Stamps {
    /// Reserves memory for `frames` stamps and writes to it, so that no page fault occurs during the measurement.
    pub fn new(frames: usize) -> Self {
        let mut times = vec![1; frames];
        times.clear();
        Self { times }
    }

    pub fn stamp(&mut self) {
        if self.times.len() < self.times.capacity() {
            self.times.push(monotonic_ns());
        }
    }

    /// Writes the stamps as little-endian int64.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let bytes: Vec<u8> = self.times.iter().flat_map(|time| time.to_le_bytes()).collect();
        std::fs::File::create(path)?.write_all(&bytes)
    }
}
