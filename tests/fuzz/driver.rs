//! Makes inputs worse, runs a target with them, and keeps the one that fails.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// How long a target runs as an ordinary test.
const TIME: Duration = Duration::from_secs(1);

/// The longest input, bytes.
const INPUT_MAX: usize = 32 * 1024;

/// The most changes to one input.
const CHANGES_MAX: usize = 8;

/// Numbers at the edges of what formats speak of.
const ODD: [u64; 12] = [0, 1, 3, 7, 8, 255, 65_535, 65_536, 1 << 31, u32::MAX as u64 - 1, u32::MAX as u64, u64::MAX];

pub fn run(name: &str, target: fn(&[u8]), seeds: &[Vec<u8>]) {
    if let Some(file) = std::env::var_os("AIOCONNECTORS_FUZZ_INPUT").map(PathBuf::from) {
        // The file's name says which target it is for.
        if file.file_name().is_some_and(|f| f.to_string_lossy().starts_with(name)) {
            target(&fs::read(&file).unwrap());
        }
        return;
    }
    let seconds = std::env::var("AIOCONNECTORS_FUZZ_SECONDS").ok().and_then(|n| n.parse().ok());
    // A short run is the same each time; a long one is to find something new.
    let mut random = if seconds.is_some() { Rng::new() } else { Rng::with_seed(1) };
    let end = Instant::now() + seconds.map_or(TIME, Duration::from_secs);
    seeds.iter().for_each(|seed| attempt(name, target, seed));
    let mut count = seeds.len();
    while Instant::now() < end {
        attempt(name, target, &worsened(&mut random, seeds));
        count += 1;
    }
    eprintln!("{name}: {count} inputs");
}

fn attempt(name: &str, target: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let hash = input.iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(*byte));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{hash:08x}.bin"));
        fs::write(&path, input).unwrap();
        eprintln!("this input fails, run it again with AIOCONNECTORS_FUZZ_INPUT={}", path.display());
        resume_unwind(panic);
    }
}

fn worsened(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    if random.u8(..3) == 0 {
        // The beginning of one and the end of another.
        let other = &seeds[random.usize(..seeds.len())];
        bytes.truncate(random.usize(..=bytes.len()));
        bytes.extend_from_slice(&other[random.usize(..=other.len())..]);
    }
    for _ in 0..random.usize(..=CHANGES_MAX) {
        change(random, &mut bytes);
    }
    bytes.truncate(INPUT_MAX);
    bytes
}

fn change(random: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.push(random.u8(..));
        return;
    }
    let at = random.usize(..bytes.len());
    let to = (at + random.usize(1..64)).min(bytes.len());
    match random.u8(..9) {
        0 => bytes[at] = random.u8(..),
        1 => bytes[at] ^= 1 << random.u8(..8),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, random.u8(..)),
        4 => drop(bytes.drain(at..to)),
        5 => {
            let piece = bytes[at..to].to_vec();
            let place = random.usize(..=bytes.len());
            bytes.splice(place..place, piece);
        }
        6 => bytes[at..to].fill(random.u8(..)),
        _ => {
            let number = ODD[random.usize(..ODD.len())].wrapping_add(random.u64(..3)).to_le_bytes();
            let width = [1, 2, 4, 8][random.usize(..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
    }
}
