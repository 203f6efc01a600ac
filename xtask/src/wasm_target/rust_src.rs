//! Answers for the sources of the standard library out of Debian's archive, of exactly the compiler's version and signed by Debian.
//!
//! apt gets lists, caches and a source list of its own below a temporary folder: the system's package state is neither read nor
//! changed. Which mirror is used is what the machine's own apt says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::apt_sources;
use crate::shell::{self, step};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Suites that carry recent compilers, the most settled first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// Downloads below `work`; returns the package's file.
pub(crate) fn fetch(version: &str, work: &Path) -> Result<PathBuf> {
    for program in ["apt-get", "apt-cache", "dpkg-deb", "tar"] {
        if !shell::exists(program) {
            bail!("`{program}` is missing: the library sources can be fetched on Debian-like machines only");
        }
    }
    if !Path::new(KEYRING).is_file() {
        bail!("{KEYRING} is missing\n  hint: `apt-get install debian-archive-keyring`");
    }
    let mirrors = apt_sources::debian_mirrors(Path::new("/etc/apt"))?;
    let mut seen = Vec::new();
    for mirror in &mirrors {
        for suite in SUITES {
            let apt = Apt::new(&work.join(format!("apt-{}", seen.len())), mirror, suite)?;
            match apt.versions() {
                Ok(versions) => {
                    if let Some(found) = versions.iter().find(|it| upstream(it) == version) {
                        return apt.download(found);
                    }
                    seen.push(format!("{suite} has {}", listed(&versions)));
                }
                Err(error) => {
                    step(format!("{error:#}"));
                    seen.push(format!("{suite} could not be read"));
                }
            }
        }
    }
    bail!(
        "found no `rust-src` {version} in Debian's archive: {}\n  \
         hint: set `channel` in rust-toolchain.toml to a version that is there, or see above what apt says",
        seen.join(", ")
    )
}

/// One apt with nothing but one suite of one mirror in it.
struct Apt {
    folder: PathBuf,
    config: PathBuf,
}

impl Apt {
    fn new(folder: &Path, mirror: &str, suite: &str) -> Result<Self> {
        for below in ["parts", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(below))?;
        }
        let list = folder.join("only.sources");
        fs::write(
            &list,
            format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"),
        )?;
        let config = folder.join("apt.conf");
        let at = |name: &str| folder.join(name).display().to_string();
        fs::write(
            &config,
            format!(
                "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"{}\";\nDir::State::lists \"{}\";\n\
                 Dir::Cache \"{}\";\nAcquire::Languages \"none\";\n",
                list.display(),
                at("parts"),
                at("lists"),
                at("cache")
            ),
        )?;
        step(format!("looking into Debian's {suite} for rust-src"));
        Ok(Self { folder: folder.to_path_buf(), config })
    }

    fn versions(&self) -> Result<Vec<String>> {
        shell::run(self.command("apt-get").args(["-q", "update"]))?;
        let table = shell::read(self.command("apt-cache").args(["madison", "rust-src"]))?;
        Ok(madison(&table))
    }

    fn download(&self, version: &str) -> Result<PathBuf> {
        step(format!("downloading rust-src {version}"));
        shell::run(self.command("apt-get").args(["-q", "download"]).arg(format!("rust-src={version}")))?;
        let entries = fs::read_dir(&self.folder)?;
        entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|it| it == "deb"))
            .context("apt-get said yes but left no package")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--config-file").arg(&self.config).current_dir(&self.folder);
        command
    }
}

/// Unpacks no more of the package than `library/` (a tenth of its files), into the folder `into`.
pub(crate) fn unpack_library(package: &Path, version: &str, into: &Path) -> Result<()> {
    step("unpacking the library sources");
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let contents = archive.stdout.take().context("dpkg-deb gave no output")?;
    let unpacked = shell::run(
        Command::new("tar")
            .args(["--extract", "--strip-components=4", "--directory"])
            .arg(into)
            .arg(format!("./usr/src/rustc-{version}/library"))
            .stdin(contents),
    );
    archive.wait()?;
    unpacked.context("the package is not laid out as expected")?;
    if !into.join("library/std").is_dir() {
        bail!("the package holds no `library/std`: Debian has changed its layout");
    }
    Ok(())
}

/// The version column of `apt-cache madison`.
fn madison(table: &str) -> Vec<String> {
    table.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect()
}

/// What upstream called the version: without Debian's epoch, revision and repacking marks.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    version.split(['+', '~']).next().unwrap_or(version)
}

fn listed(versions: &[String]) -> String {
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_drops_what_debian_added() {
        assert_eq!(upstream("1.95.0+dfsg1-2~bpo13+1"), "1.95.0");
        assert_eq!(upstream("1:1.95.0-1"), "1.95.0");
        assert_eq!(upstream("1.96.0~beta.2+dfsg1-1~exp1"), "1.96.0");
        assert_eq!(upstream("1.95.0"), "1.95.0");
    }

    #[test]
    fn madison_gives_the_version_column() {
        let table = "  rust-src | 1.95.0+dfsg1-2~bpo13+1 | mirror trixie-backports/main amd64 Packages\n\
                     rust-src | 1.92.0+dfsg1-1 | mirror trixie-backports/main Sources\n";
        assert_eq!(madison(table), ["1.95.0+dfsg1-2~bpo13+1", "1.92.0+dfsg1-1"]);
        assert!(madison("").is_empty());
    }
}
