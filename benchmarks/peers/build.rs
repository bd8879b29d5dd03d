//! Passes the compiler's version to the program, which prints it with its results.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").expect("cargo names its compiler");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler that cargo uses runs");
    let version_line = String::from_utf8(output.stdout).expect("a version in UTF-8");
    let version = version_line.split_whitespace().nth(1).expect("rustc VERSION");
    println!("cargo:rustc-env=PEERS_RUSTC={version}");
    println!("cargo:rerun-if-changed=build.rs");
}
