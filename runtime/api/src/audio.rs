//! WAV files on their way out: whole, or one range of bytes (RFC 9110, section 14).

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::timeout;

use crate::backend::Audio;
use crate::problem::{Code, Problem, Result};

pub(crate) async fn serve(audio: Audio, headers: &HeaderMap) -> Result<Response> {
    let (file, bytes) = match &audio {
        Audio::Bytes(bytes) => (None, bytes.len() as u64),
        Audio::File(path) => {
            let opened = timeout(READ_TIMEOUT, async {
                let file = File::open(path).await?;
                let bytes = file.metadata().await?.len();
                io::Result::Ok((file, bytes))
            });
            let (file, bytes) =
                opened.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(cannot_read)?;
            (Some(file), bytes)
        }
    };
    let wanted =
        headers.get(RANGE).and_then(|value| value.to_str().ok()).map_or(Wanted::Whole, |text| wanted(text, bytes));
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            return Err(Problem::new(Code::RangeNotSatisfiable, format!("the file has {bytes} bytes"))
                .with_header(CONTENT_RANGE, header(format!("bytes */{bytes}"))));
        }
    };
    let length = range.end - range.start;
    let shown = format!("bytes {}-{}/{bytes}", range.start, range.end.saturating_sub(1));
    let body = match (audio, file) {
        (Audio::Bytes(bytes), _) => Body::from(bytes.slice(range.start as usize..range.end as usize)),
        (Audio::File(_), Some(mut file)) => {
            file.seek(SeekFrom::Start(range.start)).await.map_err(cannot_read)?;
            Body::from_stream(stream::unfold((file, length), |(file, left)| next_piece(file, left)))
        }
        (Audio::File(_), None) => Body::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, header(shown));
    }
    Ok(response)
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// Behind the end.
    Nothing,
}

/// What is no single range of bytes is ignored, as the RFC allows.
fn wanted(text: &str, bytes: u64) -> Wanted {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => part(first..last.saturating_add(1).min(bytes)),
        (Some(first), None) if last.trim().is_empty() => part(first..bytes),
        (None, Some(tail)) if first.trim().is_empty() => part(bytes.saturating_sub(tail)..bytes),
        _ => Wanted::Whole,
    }
}

fn part(range: Range<u64>) -> Wanted {
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

async fn next_piece(mut file: File, left: u64) -> Option<(io::Result<Bytes>, (File, u64))> {
    if left == 0 {
        return None;
    }
    let mut piece = vec![0; usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))];
    let read = timeout(READ_TIMEOUT, file.read(&mut piece)).await;
    match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(0) => Some((Err(io::ErrorKind::UnexpectedEof.into()), (file, 0))),
        Ok(read) => {
            piece.truncate(read);
            Some((Ok(Bytes::from(piece)), (file, left - read as u64)))
        }
        Err(error) => Some((Err(error), (file, 0))),
    }
}

fn cannot_read(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => Problem::new(Code::NotFound, "the sound's file is gone"),
        _ => Problem::new(Code::Unavailable, format!("the sound's file cannot be read: {error}")),
    }
}

fn header(text: String) -> HeaderValue {
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

const PIECE_BYTES: usize = 64 << 10;
/// A disk that takes longer is broken.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        assert_eq!(wanted("bytes=0-9", 100), Wanted::Part(0..10));
        assert_eq!(wanted("bytes=90-", 100), Wanted::Part(90..100));
        assert_eq!(wanted("bytes=-5", 100), Wanted::Part(95..100));
        assert_eq!(wanted("bytes=-500", 100), Wanted::Part(0..100));
        assert_eq!(wanted("bytes=5-1000", 100), Wanted::Part(5..100));
        assert_eq!(wanted("bytes=100-", 100), Wanted::Nothing);
        assert_eq!(wanted("bytes=-0", 100), Wanted::Nothing);
        for ignored in
            ["bytes=9-5", "bytes=1-2,5-6", "lines=1-2", "bytes=x-y", "bytes=-", "bytes=18446744073709551616-"]
        {
            assert_eq!(wanted(ignored, 100), Wanted::Whole, "{ignored}");
        }
        assert_eq!(wanted("bytes=0-18446744073709551615", 100), Wanted::Part(0..100));
    }
}
