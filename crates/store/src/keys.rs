//! API keys. The plain key exists in the answer to [`Store::create_key`] and nowhere else; the database has its hash.
//!
//! One round of a fast hash is enough here, unlike for passwords: a key is 256 bits from the operating system, so there is nothing to
//! guess that salt or slow hashing would protect. Looking the hash up in an index takes a time that depends on the hash of what was
//! presented, which tells an attacker nothing about the keys that exist.

use std::fmt;

use rand::{TryRng, rngs::SysRng};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zhiyin_core::{ExternalId, Problem, clock::Millis, storage::StorageError};

use crate::{Store, error::unreadable};

/// What every key begins with, so that people and secret scanners recognise one.
pub const PREFIX: &str = "zy_";
const RANDOM_BYTES: usize = 32;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Sending events.
    Ingest,
    /// Asking for recommendations.
    Recommend,
    /// Changing items and users.
    Catalog,
    /// Everything, metrics and deletions included.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Recommend, Self::Catalog, Self::Admin];

    /// The scope's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Recommend => "recommend",
            Self::Catalog => "catalog",
            Self::Admin => "admin",
        }
    }
}

/// A set of scopes; as text, names with commas between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(u8);

impl Scopes {
    /// The set of these scopes.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |set, &scope| set | 1 << scope as u8))
    }

    /// Reads names with commas between them.
    ///
    /// # Errors
    /// A name that is no scope, or no name at all.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut scopes = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
            let scope = scope.ok_or_else(|| {
                Problem::field("scopes", format!("`{name}` is not a scope"), "use ingest, recommend, catalog or admin")
            })?;
            scopes.0 |= 1 << scope as u8;
        }
        if scopes.0 == 0 {
            return Err(Problem::field("scopes", "is empty", "name at least one of ingest, recommend, catalog, admin"));
        }
        Ok(scopes)
    }

    /// Whether the set allows what needs `scope`; `admin` allows everything.
    pub fn allow(self, scope: Scope) -> bool {
        self.has(scope) || self.has(Scope::Admin)
    }

    fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Scope::ALL.into_iter().filter(|&scope| self.has(scope)).map(Scope::name).collect();
        f.write_str(&names.join(","))
    }
}

impl TryFrom<String> for Scopes {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        Self::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

/// A key as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its number.
    pub id: u64,
    /// The operator's name for it; no two valid keys have the same.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made.
    pub created_ms: Millis,
    /// When it was revoked; none if it is valid.
    pub revoked_ms: Option<Millis>,
}

/// A key that was just made. Its plain text is not printed by `Debug`.
pub struct NewKey {
    /// What the database knows of it.
    pub key: ApiKey,
    /// What the client has to send. Nobody can find it again.
    pub plain: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why a key was not made.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The name or the scopes are not allowed.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Store {
    /// Makes a key. This is the only time that its plain text can be had.
    ///
    /// # Errors
    /// A bad name, a name that a valid key has already, no scope; failing storage or randomness.
    pub fn create_key(&self, name: &str, scopes: Scopes, now_ms: Millis) -> Result<NewKey, KeyError> {
        ExternalId::parse("name", name)?;
        Scopes::parse(&scopes.to_string())?;
        let plain = random_key()?;
        let hash = hash(&plain);
        let id = self.write(|connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO api_keys (name, hash, scopes, created_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) WHERE revoked_ms IS NULL DO NOTHING RETURNING id",
            )?;
            let columns = params![name, hash.as_slice(), scopes.to_string(), now_ms];
            insert.query_row(columns, |row| crate::encode::unsigned(row, 0)).optional()
        })?;
        let id = id.ok_or_else(|| {
            Problem::field("name", format!("`{name}` is the name of a valid key"), "choose another, or revoke that key")
        })?;
        let key = ApiKey { id, name: name.to_owned(), scopes, created_ms: now_ms, revoked_ms: None };
        Ok(NewKey { key, plain })
    }

    /// All keys ever made, by number.
    ///
    /// # Errors
    /// As every reading method.
    pub fn keys(&self) -> Result<Vec<ApiKey>, StorageError> {
        self.read(|connection| {
            let mut list = connection.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
            list.query_map([], api_key)?.collect()
        })
    }

    /// Revokes the valid key with this name or number; the answer is the key, none if there is no such valid key.
    ///
    /// # Errors
    /// As every writing method.
    pub fn revoke_key(&self, name_or_id: &str, now_ms: Millis) -> Result<Option<ApiKey>, StorageError> {
        self.write(|connection| {
            // A name wins over a number that reads the same.
            let mut revoke = connection.prepare_cached(
                "UPDATE api_keys SET revoked_ms = ?2 WHERE id = (
                     SELECT id FROM api_keys WHERE revoked_ms IS NULL AND (name = ?1 OR CAST(id AS TEXT) = ?1)
                     ORDER BY name = ?1 DESC LIMIT 1)
                 RETURNING id, name, scopes, created_ms, revoked_ms",
            )?;
            revoke.query_row(params![name_or_id, now_ms], api_key).optional()
        })
    }

    /// The valid key with this plain text; none if there is none.
    ///
    /// # Errors
    /// As every reading method.
    pub fn verify_key(&self, plain: &str) -> Result<Option<ApiKey>, StorageError> {
        if plain.len() != PREFIX.len() + 2 * RANDOM_BYTES || !plain.starts_with(PREFIX) {
            return Ok(None);
        }
        let hash = hash(plain);
        self.read(|connection| {
            let mut find = connection.prepare_cached(&format!("{SELECT} WHERE hash = ?1 AND revoked_ms IS NULL"))?;
            find.query_row([hash.as_slice()], api_key).optional()
        })
    }
}

const SELECT: &str = "SELECT id, name, scopes, created_ms, revoked_ms FROM api_keys";

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let scopes = Scopes::parse(&row.get::<_, String>(2)?).map_err(|problem| unreadable(2, problem))?;
    let id = crate::encode::unsigned(row, 0)?;
    Ok(ApiKey { id, name: row.get(1)?, scopes, created_ms: row.get(3)?, revoked_ms: row.get(4)? })
}

fn random_key() -> Result<String, StorageError> {
    let mut bytes = [0_u8; RANDOM_BYTES];
    let filled = SysRng.try_fill_bytes(&mut bytes);
    filled.map_err(|error| StorageError::Other(format!("the operating system gave no randomness: {error}")))?;
    Ok(format!("{PREFIX}{}", blake3::Hash::from_bytes(bytes).to_hex()))
}

fn hash(plain: &str) -> [u8; 32] {
    *blake3::hash(plain.as_bytes()).as_bytes()
}
