//! The handlers, by subject. Each turns a request into one call of the engine and the answer into JSON.

pub(crate) mod catalogue;
pub(crate) mod events;
pub(crate) mod generate;
pub(crate) mod intent;
pub(crate) mod items;
pub(crate) mod jobs;
pub(crate) mod language;
pub(crate) mod observe;
pub(crate) mod open;
pub(crate) mod recommend;
pub(crate) mod search;
pub(crate) mod users;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use zhiyin_core::limits::ID_BYTES_MAX;

use crate::{fault::Fault, router::Shared};

/// The identifier in the path, percent-decoded.
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<Shared> for Id {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Fault> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(id) =
            path.map_err(|_| Fault::bad("path", "is not UTF-8 after percent-decoding", "percent-encode UTF-8"))?;
        if id.len() > ID_BYTES_MAX {
            let rule = format!("has {} bytes, at most {ID_BYTES_MAX} are allowed", id.len());
            return Err(Fault::bad("id", rule, "check the identifier"));
        }
        Ok(Self(id))
    }
}
