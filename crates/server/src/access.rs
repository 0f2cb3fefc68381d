//! Who may do what: scopes, keys, and a short memory of keys that were found good.
//!
//! A key reaches the server as `Authorization: Bearer KEY` or `X-API-Key: KEY`. The server never keeps or logs it: it remembers the
//! BLAKE3 digest for [`REMEMBERED_FOR`], so that a revoked key stops working after that time at the latest.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use parking_lot::RwLock;

use crate::fault::Fault;

/// Time for which a good key is remembered without asking the verifier again.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// Keys that are remembered at once; beyond that all are forgotten and asked for again.
const REMEMBERED_MAX: usize = 1_024;
/// Bytes of a key; a longer one cannot be ours.
const KEY_BYTES_MAX: usize = 256;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Get recommendations.
    Recommend,
    /// Read and change items and users.
    Catalog,
    /// Look inside and train; implies the others.
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

    /// The scope with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether the set allows what needs `scope`. [`Scope::Admin`] allows everything.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8 | 1 << Scope::Admin as u8) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | (1 << scope as u8)))
    }
}

/// Knows which keys are good and what they allow.
pub trait KeyVerifier: Send + Sync {
    /// The scopes of `key`, or none if it is unknown or revoked. Called on a request's own task: it must answer within microseconds
    /// (an indexed look-up, not a network call).
    fn verify(&self, key: &str) -> Option<Scopes>;
}

/// How requests are authenticated.
#[derive(Clone)]
pub enum AuthMode {
    /// By API key.
    Keys(Arc<dyn KeyVerifier>),
    /// Not at all: everybody who reaches the port may do everything.
    Insecure,
}

/// Decides whether a request may pass.
pub(crate) struct Gate {
    mode: AuthMode,
    remembered: RwLock<HashMap<[u8; 32], (Scopes, Instant)>>,
}

impl Gate {
    pub(crate) fn new(mode: AuthMode) -> Self {
        Self { mode, remembered: RwLock::default() }
    }

    /// Checks that the request with `headers`, which arrived at `now`, has a good key with the scope `needed`.
    pub(crate) fn check(&self, headers: &HeaderMap, needed: Scope, now: Instant) -> Result<(), Fault> {
        let AuthMode::Keys(verifier) = &self.mode else { return Ok(()) };
        let key = key_of(headers).ok_or_else(Fault::no_key)?;
        let scopes = self.scopes(verifier.as_ref(), key, now).ok_or_else(Fault::unknown_key)?;
        if scopes.allow(needed) { Ok(()) } else { Err(Fault::scope_missing(needed)) }
    }

    fn scopes(&self, verifier: &dyn KeyVerifier, key: &str, now: Instant) -> Option<Scopes> {
        let digest = *blake3::hash(key.as_bytes()).as_bytes();
        if let Some((scopes, since)) = self.remembered.read().get(&digest)
            && now.saturating_duration_since(*since) < REMEMBERED_FOR
        {
            return Some(*scopes);
        }
        let scopes = verifier.verify(key);
        self.remember(digest, scopes, now);
        scopes
    }

    /// Only good keys are remembered, so that guessing cannot push them out or fill the memory.
    fn remember(&self, digest: [u8; 32], scopes: Option<Scopes>, now: Instant) {
        let mut remembered = self.remembered.write();
        let Some(scopes) = scopes else {
            remembered.remove(&digest);
            return;
        };
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, (scopes, now));
    }
}

fn key_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let key = bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()))?;
    (!key.is_empty() && key.len() <= KEY_BYTES_MAX).then_some(key)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Knows one key until it is revoked, and counts how often it was asked.
    #[derive(Default)]
    struct OneKey {
        asked: AtomicUsize,
        revoked: std::sync::atomic::AtomicBool,
    }

    impl KeyVerifier for OneKey {
        fn verify(&self, key: &str) -> Option<Scopes> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let good = key == "zy_good" && !self.revoked.load(Ordering::SeqCst);
            good.then(|| [Scope::Recommend].into_iter().collect())
        }
    }

    fn headers(key: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {key}").parse().unwrap())])
    }

    #[test]
    fn a_good_key_is_asked_for_once_and_a_revoked_one_stops_within_five_seconds() {
        let verifier = Arc::new(OneKey::default());
        let gate = Gate::new(AuthMode::Keys(verifier.clone()));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(gate.check(&headers("zy_good"), Scope::Recommend, start).is_ok());
        }
        assert_eq!(verifier.asked.load(Ordering::SeqCst), 1);
        verifier.revoked.store(true, Ordering::SeqCst);
        assert!(gate.check(&headers("zy_good"), Scope::Recommend, start + Duration::from_secs(5)).is_err());
        assert!(gate.check(&headers("zy_good"), Scope::Recommend, start).is_err(), "a refused key is forgotten");
    }

    #[test]
    fn unknown_keys_are_asked_for_each_time_and_never_fill_the_memory() {
        let verifier = Arc::new(OneKey::default());
        let gate = Gate::new(AuthMode::Keys(verifier.clone()));
        for n in 0..10 {
            assert!(gate.check(&headers(&format!("zy_{n}")), Scope::Recommend, Instant::now()).is_err());
        }
        assert_eq!(verifier.asked.load(Ordering::SeqCst), 10);
        assert!(gate.remembered.read().is_empty());
    }

    #[test]
    fn only_admin_implies_other_scopes() {
        for scope in Scope::ALL {
            let scopes: Scopes = [scope].into_iter().collect();
            let allowed = Scope::ALL.into_iter().filter(|other| scopes.allow(*other)).count();
            assert_eq!(allowed, if scope == Scope::Admin { 4 } else { 1 });
            assert!(scopes.allow(scope));
            assert_eq!(Scope::named(scope.name()), Some(scope));
        }
        assert!(Scope::ALL.into_iter().all(|scope| !Scopes::default().allow(scope)));
    }
}
