//! Files of a model hub over HTTPS, resumed by byte ranges.

use std::{io::Seek, path::Path, time::Duration};

use ureq::{Agent, Body, http::Response};

use crate::{Progress, WeightsError, hash::Hasher};

/// How long a server may take to answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const PARTIAL_CONTENT: u16 = 206;
const RANGE_NOT_SATISFIABLE: u16 = 416;

/// Downloads `url` to `path`, going on from what an earlier attempt left there.
///
/// # Errors
/// The server can't be reached, refuses, or the connection breaks; what came until then stays for the next attempt.
pub fn download(url: &str, path: &Path, bytes: u64, progress: &dyn Progress) -> Result<(), WeightsError> {
    let failed = |detail: String| WeightsError::Http { url: url.to_owned(), detail };
    let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
    let mut start = file.metadata()?.len();
    if start == bytes {
        return Ok(());
    }
    if start > bytes {
        file.set_len(0)?;
        start = 0;
    }
    let mut answer = ask(url, start).map_err(|error| failed(error.to_string()))?;
    if answer.status().as_u16() == RANGE_NOT_SATISFIABLE {
        answer = ask(url, 0).map_err(|error| failed(error.to_string()))?;
    }
    if !answer.status().is_success() {
        return Err(failed(format!("the server answered {}", answer.status())));
    }
    if answer.status().as_u16() != PARTIAL_CONTENT {
        // It sends the whole file, from the beginning.
        file.set_len(0)?;
        start = 0;
    }
    progress.begin(&format!("downloading {url}"), bytes);
    file.seek(std::io::SeekFrom::End(0))?;
    let mut reader = answer.body_mut().as_reader();
    Hasher::default().copy(&mut reader, &mut file, &mut |more| progress.at(start + more))?;
    Ok(file.sync_all()?)
}

fn ask(url: &str, start: u64) -> Result<Response<Body>, ureq::Error> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT_TIMEOUT));
    let request = config.build().new_agent().get(url);
    match start {
        0 => request.call(),
        _ => request.header("Range", format!("bytes={start}-")).call(),
    }
}
