//! Prints the OpenAPI document: `cargo run -p zhiyin-server --example openapi > docs/openapi.json`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(zhiyin_server::openapi::text().as_bytes())
}
