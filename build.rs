//! Links what runs before `main` into the programs.

fn main() {
    println!("cargo::rerun-if-changed=bin/startup.c");
    for object in cc::Build::new().file("bin/startup.c").compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
}
