//! Bundles the web app for the feature `page`: `build/page.mjs` writes it into the folder `page` of `OUT_DIR`, and
//! `bundle.rs` embeds that folder. Without Node.js and the packages of `tests/` the folder stays empty, and the node
//! serves the modules of `web/` themselves.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const SCRIPT: &str = "build/page.mjs";
const SOURCES: [&str; 7] =
    ["web/index.html", "web/app", "web/style", "web/lib/channels", "web/lib/rtc", "web/lib/share", "web/lib/util"];
const TESTS: &str = "tests/package.json";
const BUNDLER: &str = "tests/node_modules/vite";
/// The exit code of the script if Vite cannot run on this machine.
const UNABLE: i32 = 3;
/// Written by npm with each installation.
const PACKAGES: &str = "tests/node_modules/.package-lock.json";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_PAGE").is_none() {
        return;
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let folder = Path::new(&out).join("page");
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the old page can be removed");
    }
    fs::create_dir(&folder).expect("OUT_DIR can be written to");
    let embed = format!("#[derive(rust_embed::Embed)]\n#[folder = {folder:?}]\nstruct Bundle;\n");
    fs::write(Path::new(&out).join("bundle.rs"), embed).expect("OUT_DIR can be written to");
    // cargo takes a missing file for a changed one, and would compile the crate each time: the folder changes instead
    let packages = if Path::new(PACKAGES).exists() { PACKAGES } else { "tests" };
    for path in SOURCES.into_iter().chain([SCRIPT, packages]) {
        println!("cargo::rerun-if-changed={path}");
    }
    // the package for a registry has no packages of npm to install
    if Path::new(TESTS).exists()
        && let Err(missing) = bundle(&folder)
    {
        println!("cargo::warning=the web app is not bundled, and loads slowly: {missing}");
    }
}

/// Returns what is missing on this machine. Anything else that fails is a fault of the page, and ends the build.
fn bundle(folder: &Path) -> Result<(), &'static str> {
    if !Path::new(BUNDLER).exists() {
        return Err("run npm --prefix tests ci (or make packages), which needs Node.js 20.19 or later");
    }
    let Ok(status) = Command::new("node").arg(SCRIPT).arg(folder).status() else {
        return Err("Node.js is missing");
    };
    if status.code() == Some(UNABLE) {
        return Err("Vite needs Node.js 20.19, 22.12 or later, and packages for this platform (npm --prefix tests ci)");
    }
    assert!(status.success(), "node {SCRIPT}: {status}");
    Ok(())
}
