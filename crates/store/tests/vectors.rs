//! Vectors of texts, across restarts and within their bound.

use zhiyin_core::{VectorCache, VectorKey, storage::StorageError};
use zhiyin_store::{VectorStore, vectors::VECTOR_DATABASE};

fn key(n: u8) -> VectorKey {
    [n; 32]
}

/// Bytes of a vector of eight numbers with its key.
const BYTES: u64 = 64;

fn kept(store: &VectorStore) -> Vec<u8> {
    (0..20).filter(|&n| store.get(&[key(n)]).unwrap()[0].is_some()).collect()
}

fn put(store: &VectorStore, n: u8) {
    store.put(&[(key(n), &[f32::from(n); 8])]).unwrap();
}

#[test]
fn vectors_come_back_in_the_order_of_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let store = VectorStore::open(folder.path(), 1_000).unwrap();
    store.put(&[(key(1), &[0.1, -2.5]), (key(2), &[3.0, f32::MIN_POSITIVE])]).unwrap();
    drop(store);
    let store = VectorStore::open(folder.path(), 1_000).unwrap();
    let found = store.get(&[key(2), key(3), key(1)]).unwrap();
    assert_eq!(found, [Some(vec![3.0, f32::MIN_POSITIVE]), None, Some(vec![0.1, -2.5])]);
}

#[test]
fn those_that_were_used_last_stay_within_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let store = VectorStore::open(folder.path(), 10 * BYTES).unwrap();
    (0..10).for_each(|n| put(&store, n));
    assert_eq!(kept(&store).len(), 10);
    drop(store);
    let store = VectorStore::open(folder.path(), 10 * BYTES).unwrap();
    store.get(&[key(0), key(1)]).unwrap();
    put(&store, 10);
    assert_eq!(kept(&store), [0, 1, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn two_may_have_the_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| VectorStore::open(folder.path(), 1_000).unwrap());
    put(&first, 1);
    put(&second, 2);
    assert_eq!((kept(&first), kept(&second)), (vec![1, 2], vec![1, 2]));
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(VECTOR_DATABASE);
    fs_err::write(&path, [7; 4096]).unwrap();
    let Err(StorageError::Damaged { path: named, .. }) = VectorStore::open(folder.path(), 1_000) else { panic!() };
    assert!(named.ends_with(VECTOR_DATABASE));
    assert_eq!(fs_err::read(&path).unwrap(), [7; 4096]);
}
