//! Asks the linker for packed relative relocations where the C library can read them.
//!
//! A start reads every relocation of the program; packed they take a fiftieth of the room
//! (docs/decisions/0004). The format is DT_RELR of the System V ABI, in glibc since 2.36.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name| std::env::var(name).unwrap_or_default();
    // What another machine's C library can do is not known here.
    let at_home = of("HOST") == of("TARGET") && of("TARGET").ends_with("linux-gnu");
    if at_home && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let out = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
