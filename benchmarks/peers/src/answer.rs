//! The results of a job: routes, decoded payloads, columns, stamps; and the digest of a checked run.

use std::hint::black_box;
use std::path::PathBuf;

use crate::meter::Stamps;
use crate::route::Route;

/// FNV-1a, 64 bits.
pub struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// The answers of a run: a digest in a checked run, else a cheap sum, so that the compiler does not remove the work.
pub struct Answers {
    digest: Option<Fnv>,
    sum: u64,
}

impl Answers {
    pub fn new(check: bool) -> Self {
        Self { digest: check.then(Fnv::new), sum: 0 }
    }

    pub fn checks(&self) -> bool {
        self.digest.is_some()
    }

    #[inline]
    pub fn route(&mut self, route: Route) {
        match &mut self.digest {
            None => self.sum = self.sum.wrapping_add(route.kind as u64).wrapping_add(route.conid.cast_unsigned()),
            Some(digest) => {
                digest.write(&[route.kind as u8]);
                digest.write(&route.conid.to_le_bytes());
            }
        }
    }

    /// Adds one decoded payload: its `size` in a timed run, or its fields as returned by `text_of` in a checked run.
    #[inline]
    pub fn dict(&mut self, size: usize, text_of: impl Fn(&str) -> Option<String>) {
        let Some(digest) = &mut self.digest else {
            self.sum = self.sum.wrapping_add(size as u64);
            return;
        };
        let mut found = false;
        for key in ["topic", "conid", "31", "84", "85", "86", "88", "_updated"] {
            if let Some(text) = text_of(key) {
                digest.write(format!("{key}={text};").as_bytes());
                found = true;
            }
        }
        if !found {
            digest.write(b"-;");
        }
    }

    pub fn finish(&self) -> Option<u64> {
        black_box(self.sum);
        self.digest.as_ref().map(|digest| digest.0)
    }
}

/// The fields of the columns job, in the order of [`Row`].
pub const FIELDS: [&str; 6] = ["31", "84", "85", "86", "88", "_updated"];

/// The numbers of one market data frame, in the order of [`FIELDS`].
pub type Row = [Option<f64>; FIELDS.len()];

/// The number of rows after which the columns are passed on and their memory is reused.
const ROWS: usize = 4096;

/// The columns job: float64 columns with validity, passed on after a number of rows.
pub struct Columns {
    values: [Vec<f64>; FIELDS.len()],
    valid: [Vec<bool>; FIELDS.len()],
    digest: Option<Fnv>,
}

impl Columns {
    pub fn new(check: bool) -> Self {
        Self {
            values: std::array::from_fn(|_| Vec::with_capacity(ROWS)),
            valid: std::array::from_fn(|_| Vec::with_capacity(ROWS)),
            digest: check.then(Fnv::new),
        }
    }

    #[inline]
    pub fn push(&mut self, row: Row) {
        for (number, (values, valid)) in row.iter().zip(self.values.iter_mut().zip(&mut self.valid)) {
            values.push(number.unwrap_or(f64::NAN));
            valid.push(number.is_some());
        }
        if self.values[0].len() == ROWS {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        if let Some(digest) = &mut self.digest {
            for row in 0..self.values[0].len() {
                for (values, valid) in self.values.iter().zip(&self.valid) {
                    digest.write(&[u8::from(valid[row])]);
                    if valid[row] {
                        digest.write(&values[row].to_le_bytes());
                    }
                }
            }
        }
        // The compiler must assume that all values are read. This costs nothing.
        black_box((&self.values, &self.valid));
        self.values.iter_mut().for_each(Vec::clear);
        self.valid.iter_mut().for_each(Vec::clear);
    }

    pub fn finish(&mut self) -> Option<u64> {
        self.hand_on();
        self.digest.as_ref().map(|digest| digest.0)
    }
}

/// The latency job: records the time of each frame after `use_of`.
pub struct Latency<F> {
    stamps: Stamps,
    path: PathBuf,
    use_of: F,
}

impl<F> Latency<F> {
    pub fn new(frames: usize, path: PathBuf, use_of: F) -> Self {
        Self { stamps: Stamps::new(frames), path, use_of }
    }
}

impl<M: ?Sized, T, F: Fn(&M) -> T> crate::work::Work<M> for Latency<F> {
    #[inline]
    fn message(&mut self, message: &M) {
        black_box((self.use_of)(message));
        self.stamps.stamp();
    }

    fn finish(&mut self) -> Option<u64> {
        if let Err(failure) = self.stamps.write(&self.path) {
            eprintln!("cannot write {}: {failure}", self.path.display());
            std::process::exit(1);
        }
        None
    }
}
