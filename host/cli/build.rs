//! Answers for one thing: a file added to the plugin SDK makes the program, which carries the SDK's sources, be built again.
//!
//! Generates nothing.

fn main() {
    for embedded in ["../../plugins/sdk/src", "../../plugins/sdk-macros/src", "../../wit", "templates", "build.rs"] {
        println!("cargo:rerun-if-changed={embedded}");
    }
}
