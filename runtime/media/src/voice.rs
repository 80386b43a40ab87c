//! Voices: `flite` and `espeak-ng` as processes. Text goes in through standard input or a file,
//! never as an argument that something could read as an option or a command.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use callbox_audio::read_wav;
use callbox_model::{MediaFault, Speech};

use crate::Voice;

/// The engines of this machine.
#[derive(Clone, Debug)]
pub struct Engines {
    flite: Option<PathBuf>,
    espeak_ng: Option<PathBuf>,
    within: Duration,
}

impl Engines {
    /// Programs that are not named are looked for on PATH.
    pub fn find(flite: Option<PathBuf>, espeak_ng: Option<PathBuf>, within: Duration) -> Self {
        Self {
            flite: flite.or_else(|| on_path("flite")),
            espeak_ng: espeak_ng.or_else(|| on_path("espeak-ng")),
            within,
        }
    }

    /// What there is, for the start's report.
    pub fn names(&self) -> Vec<&'static str> {
        [self.flite.as_ref().map(|_| "flite"), self.espeak_ng.as_ref().map(|_| "espeak-ng")]
            .into_iter()
            .flatten()
            .collect()
    }

    fn flite(&self, program: &Path, voice: Option<&str>, text: &str) -> Result<Vec<i16>, MediaFault> {
        let folder = Folder::make()?;
        let (input, output) = (folder.0.join("text"), folder.0.join("sound.wav"));
        std::fs::write(&input, text).map_err(|error| node("write the text", &error))?;
        let mut command = Command::new(program);
        command.arg("-voice").arg(voice.unwrap_or("slt")).arg("-f").arg(&input).arg("-o").arg(&output);
        self.run(&mut command, b"")?;
        read(&output)
    }

    fn espeak(&self, program: &Path, voice: &str, text: &str) -> Result<Vec<i16>, MediaFault> {
        let folder = Folder::make()?;
        let output = folder.0.join("sound.wav");
        let mut command = Command::new(program);
        command.arg("-v").arg(voice).arg("--stdin").arg("-w").arg(&output);
        self.run(&mut command, text.as_bytes())?;
        read(&output)
    }

    fn run(&self, command: &mut Command, input: &[u8]) -> Result<(), MediaFault> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| node(&format!("run {name}"), &error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // The text is bounded, and fits into the pipe's buffer.
            let _ = stdin.write_all(input);
        }
        match wait(&mut child, self.within) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(MediaFault::NoVoice(format!("{name} ended with {status}"))),
            None => Err(MediaFault::NoVoice(format!("{name} did not finish in {} s", self.within.as_secs()))),
        }
    }
}

impl Voice for Engines {
    fn speak(&self, speech: &Speech) -> Result<Vec<i16>, MediaFault> {
        for name in [&speech.voice, &speech.language].into_iter().flatten() {
            check_name(name)?;
        }
        let language = speech.language.as_deref().unwrap_or("en");
        let is_english = language.to_ascii_lowercase().starts_with("en");
        match (&self.flite, &self.espeak_ng) {
            (Some(flite), _) if is_english => self.flite(flite, speech.voice.as_deref(), &speech.text),
            (_, Some(espeak)) => {
                let voice = speech.voice.as_deref().unwrap_or(language);
                self.espeak(espeak, voice, &speech.text)
            }
            (Some(_), None) => {
                let why = format!("flite speaks English, not `{language}`: apt-get install espeak-ng");
                Err(MediaFault::NoVoice(why))
            }
            (None, None) => Err(MediaFault::NoVoice("nothing can speak here: apt-get install flite".to_owned())),
        }
    }
}

fn wait(child: &mut Child, within: Duration) -> Option<std::process::ExitStatus> {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Letters, digits, `-` and `_`, and a letter first: no path, no option.
fn check_name(name: &str) -> Result<(), MediaFault> {
    let is_good = name.len() <= 32
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
    if is_good { Ok(()) } else { Err(MediaFault::NoVoice(format!("{name:?} is no name of a voice or language"))) }
}

fn read(path: &Path) -> Result<Vec<i16>, MediaFault> {
    let bytes = std::fs::read(path).map_err(|error| node("read what was spoken", &error))?;
    read_wav(&bytes, LONGEST_S).map_err(|error| MediaFault::NoVoice(format!("the voice engine's sound: {error}")))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn node(what: &str, error: &std::io::Error) -> MediaFault {
    MediaFault::Node(format!("cannot {what}: {error}"))
}

/// A folder of its own for one speech, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, MediaFault> {
        let name =
            format!("callbox-{}-{:08x}{:08x}", std::process::id(), crate::ports::chance(), crate::ports::chance());
        let path = std::env::temp_dir().join(name);
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&path)
            .map_err(|error| node("make a folder for speech", &error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// 4,000 characters take five minutes.
const LONGEST_S: u64 = 900;

#[cfg(test)]
mod tests {
    use super::*;

    fn speech(text: &str, voice: Option<&str>, language: Option<&str>) -> Speech {
        Speech { text: text.to_owned(), voice: voice.map(str::to_owned), language: language.map(str::to_owned) }
    }

    #[test]
    fn without_an_engine_the_package_is_named() {
        let none = Engines { flite: None, espeak_ng: None, within: Duration::from_secs(1) };
        let Err(MediaFault::NoVoice(why)) = none.speak(&speech("hello", None, None)) else { panic!() };
        assert!(why.contains("apt-get install flite"), "{why}");
    }

    #[test]
    fn names_are_no_options_and_no_paths() {
        let none = Engines { flite: None, espeak_ng: None, within: Duration::from_secs(1) };
        for name in ["-o", "../x", "a b", "", "x;y", "/etc/passwd"] {
            let Err(MediaFault::NoVoice(why)) = none.speak(&speech("hello", Some(name), None)) else { panic!() };
            assert!(why.contains("no name"), "{name}: {why}");
        }
    }

    #[test]
    fn an_engine_that_hangs_is_ended() {
        let hangs = Engines { flite: Some("/bin/cat".into()), espeak_ng: None, within: Duration::from_millis(200) };
        assert!(matches!(hangs.speak(&speech("hello", None, None)), Err(MediaFault::NoVoice(_))));
    }
}
