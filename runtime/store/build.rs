//! The migrations are built in; Cargo must know when one is added.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
