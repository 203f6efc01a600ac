//! Rebuilds the program, which carries the plugin SDK's sources, when a file is added to the SDK.
//!
//! Generates nothing.

fn main() {
    for embedded in ["../../plugins/sdk/src", "../../plugins/sdk-macros/src", "../../wit", "templates", "build.rs"] {
        println!("cargo:rerun-if-changed={embedded}");
    }
}
