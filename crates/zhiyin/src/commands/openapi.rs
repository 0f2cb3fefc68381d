//! `zhiyin openapi`: prints the document that the server serves at `/openapi.json`.

use anyhow::Result;

use crate::output;

/// Prints the document.
///
/// # Errors
/// None today.
pub fn run() -> Result<()> {
    output::say(zhiyin_server::openapi::text().trim_end());
    Ok(())
}
