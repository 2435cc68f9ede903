//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["commun/v1/link.proto", "commun/v1/agency.proto", "commun/v1/supervision.proto", "arrow/flight.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    // Without `build_transport` no client has a constructor named `connect`, which would clash with the rpc of that name.
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
