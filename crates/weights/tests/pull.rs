//! Pulling from every kind of source: a stand-in for the pip client, a small HTTP server, a local folder.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use zhiyin_weights::{Catalogue, FileState, Folder, NoProgress, PullOptions, WeightModel, pull};

/// What the files hold: two parts of 200,000 bytes.
fn bytes() -> Vec<u8> {
    (0..400_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// SHA-256 of [`bytes`], computed elsewhere.
const SHA256: &str = "10a9afe6c9b0e4f3d9d3b946278d3f80221cf9b9207d7a1478c7c62d94150808";

fn model(sources: &str) -> WeightModel {
    let text = format!(
        "[[model]]\nname = 'tiny'\nkind = 'encoder'\nabout = 'for tests'\nlicence = 'MIT'\n\
         [[model.file]]\nname = 'tiny.bin'\nbytes = 400000\nsha256 = '{SHA256}'\nsources = [{sources}]\n"
    );
    Catalogue::parse(&text, "of the test").unwrap().models.remove(0)
}

const PARTS: &str = "{ kind = 'package', parts = [\
    { package = 'tiny-part1', version = '1.0', member = 'tiny/data.bin' },\
    { package = 'tiny-part2', version = '1.0', member = 'tiny/data.bin' }] }";
const HUB: &str = "{ kind = 'hub', repository = 'someone/tiny', revision = 'main', path = 'tiny.bin' }";

fn folder() -> (tempfile::TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path().join("models"));
    (root, folder)
}

/// A wheel with one member beside others.
fn wheel(path: &Path, content: &[u8]) {
    let mut archive = zip::ZipWriter::new(fs_err::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [("tiny/__init__.py", &b"raise SystemExit"[..]), ("tiny/data.bin", content)] {
        archive.start_file(name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
}

/// A stand-in for the pip client, with the two parts in its folder.
fn stand_in_for_pip(root: &Path) -> Vec<String> {
    let content = bytes();
    wheel(&root.join("tiny-part1.whl"), &content[..200_000]);
    wheel(&root.join("tiny-part2.whl"), &content[200_000..]);
    let script = root.join("pip");
    fs_err::write(&script, include_str!("fixtures/pip.sh")).unwrap();
    vec!["/bin/sh".into(), script.display().to_string()]
}

fn calls(root: &Path) -> usize {
    fs_err::read_to_string(root.join("calls")).map_or(0, |text| text.lines().count())
}

#[test]
fn parts_of_packages_are_joined_and_kept() {
    let (root, folder) = folder();
    let options = PullOptions { pip: stand_in_for_pip(root.path()), ..PullOptions::new("") };
    let model = model(PARTS);
    assert_eq!(folder.look(&model, &model.files[0]), FileState::Missing);
    assert_eq!(pull(&folder, &model, &options, &NoProgress).unwrap(), 1);
    assert_eq!(folder.check(&model, &model.files[0]).unwrap(), FileState::Verified);
    assert_eq!(fs_err::read(folder.file(&model, &model.files[0])).unwrap(), bytes());
    assert_eq!(pull(&folder, &model, &options, &NoProgress).unwrap(), 0);
    assert_eq!(calls(root.path()), 2, "what is there is not fetched again");
}

#[test]
fn a_pull_that_failed_goes_on_with_the_parts_that_it_has() {
    let (root, folder) = folder();
    let options = PullOptions { pip: stand_in_for_pip(root.path()), ..PullOptions::new("") };
    let hidden = root.path().join("hidden");
    fs_err::rename(root.path().join("tiny-part2.whl"), &hidden).unwrap();
    let error = pull(&folder, &model(PARTS), &options, &NoProgress).unwrap_err().to_string();
    assert!(error.contains("no version of tiny-part2") && error.contains("--from"), "{error}");
    fs_err::rename(&hidden, root.path().join("tiny-part2.whl")).unwrap();
    assert_eq!(pull(&folder, &model(PARTS), &options, &NoProgress).unwrap(), 1);
    assert_eq!(calls(root.path()), 3, "the first part was fetched once");
}

#[test]
fn damage_is_found_and_mended() {
    let (root, folder) = folder();
    let options = PullOptions { pip: stand_in_for_pip(root.path()), ..PullOptions::new("") };
    let model = model(PARTS);
    pull(&folder, &model, &options, &NoProgress).unwrap();
    let path = folder.file(&model, &model.files[0]);
    let mut content = bytes();
    content[7] ^= 1;
    fs_err::write(&path, content).unwrap();
    assert!(folder.has(&model), "the size is right");
    assert!(matches!(folder.check(&model, &model.files[0]).unwrap(), FileState::Different { .. }));
    assert_eq!(pull(&folder, &model, &options, &NoProgress).unwrap(), 1);
    assert_eq!(folder.check(&model, &model.files[0]).unwrap(), FileState::Verified);
}

#[test]
fn wrong_bytes_never_get_a_name() {
    let (root, folder) = folder();
    let pip = stand_in_for_pip(root.path());
    wheel(&root.path().join("tiny-part2.whl"), &[0; 200_000]);
    let options = PullOptions { pip, ..PullOptions::new("") };
    let model = model(PARTS);
    let error = pull(&folder, &model, &options, &NoProgress).unwrap_err().to_string();
    assert!(error.contains("sha256"), "{error}");
    assert_eq!(folder.look(&model, &model.files[0]), FileState::Missing);
}

#[test]
fn a_missing_client_is_named_with_the_way_out() {
    let (_root, folder) = folder();
    let options = PullOptions { pip: vec!["/no/such/pip".into()], ..PullOptions::new("") };
    let error = pull(&folder, &model(PARTS), &options, &NoProgress).unwrap_err().to_string();
    assert!(error.contains("/no/such/pip") && error.contains("ZHIYIN_PIP"), "{error}");
}

#[test]
fn a_local_folder_stands_in_for_the_sources() {
    let (root, folder) = folder();
    fs_err::write(root.path().join("tiny.bin"), bytes()).unwrap();
    let options = PullOptions { from: Some(root.path().to_owned()), ..PullOptions::new("") };
    assert_eq!(pull(&folder, &model(HUB), &options, &NoProgress).unwrap(), 1);
    let elsewhere = PullOptions { from: Some(root.path().join("nowhere")), ..PullOptions::new("") };
    let other = Folder::new(root.path().join("other"));
    assert!(pull(&other, &model(HUB), &elsewhere, &NoProgress).is_err());
}

/// A server that breaks the first connection after half of the file and counts the bytes that it sends.
fn breaking_server(honours_ranges: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let limit = if number == 0 { 200_000 } else { usize::MAX };
            answer(stream.unwrap(), limit, honours_ranges, &counter);
        }
    });
    (address, sent)
}

fn answer(mut stream: TcpStream, limit: usize, honours_ranges: bool, sent: &AtomicUsize) {
    let mut start = 0;
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 2 {
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=").filter(|_| honours_ranges) {
            start = range.trim().trim_end_matches('-').parse().unwrap();
        }
        line.clear();
    }
    let body = &bytes()[start..];
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let count = body.len().min(limit);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..count]).unwrap();
    sent.fetch_add(count, Ordering::Relaxed);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read(&mut [0]);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    for (honours_ranges, total) in [(true, 400_000), (false, 600_000)] {
        let (_root, folder) = folder();
        let (address, sent) = breaking_server(honours_ranges);
        let (options, model) = (PullOptions::new(&address), model(HUB));
        assert!(pull(&folder, &model, &options, &NoProgress).is_err());
        assert_eq!(pull(&folder, &model, &options, &NoProgress).unwrap(), 1);
        assert_eq!(folder.check(&model, &model.files[0]).unwrap(), FileState::Verified);
        assert_eq!(sent.load(Ordering::Relaxed), total, "ranges honoured: {honours_ranges}");
    }
}

#[test]
fn the_next_source_is_tried_when_one_fails() {
    let (root, folder) = folder();
    let options = PullOptions { pip: stand_in_for_pip(root.path()), ..PullOptions::new("http://127.0.0.1:1") };
    assert_eq!(pull(&folder, &model(&format!("{HUB}, {PARTS}")), &options, &NoProgress).unwrap(), 1);
}

#[test]
fn two_pulls_at_once_fetch_once() {
    let (root, folder) = folder();
    let options = PullOptions { pip: stand_in_for_pip(root.path()), ..PullOptions::new("") };
    let fetched: usize = std::thread::scope(|scope| {
        let pulls: Vec<_> =
            (0..3).map(|_| scope.spawn(|| pull(&folder, &model(PARTS), &options, &NoProgress).unwrap())).collect();
        pulls.into_iter().map(|pull| pull.join().unwrap()).sum()
    });
    assert_eq!((fetched, calls(root.path())), (1, 2));
}
