//! The ways in which a savepoint can be damaged, by nature or by malice.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CHECKPOINT: &str = "checkpoint.json";
const COMMITS: &str = "commits.json";
const JOB: &str = "job.json";
const MANIFEST: &str = "manifest.json";
const HASH: &str = "manifest.sha256";
const FILES: [&str; 5] = [CHECKPOINT, COMMITS, JOB, MANIFEST, HASH];

/// Done to a copy of a sound savepoint.
pub(super) struct Damage {
    pub(super) name: String,
    /// The file that the error must name.
    pub(super) file: &'static str,
    pub(super) act: Act,
}

pub(super) type Act = Box<dyn Fn(&Path) -> Result<()> + Send + Sync>;

pub(super) fn all() -> Vec<Damage> {
    let mut all = of_bytes();
    all.extend(of_manifests());
    all.extend(of_names());
    all.extend(of_commits());
    all.extend(of_checkpoints());
    all.extend(of_json());
    all
}

fn damage(
    name: impl Into<String>,
    file: &'static str,
    act: impl Fn(&Path) -> Result<()> + Send + Sync + 'static,
) -> Damage {
    Damage { name: name.into(), file, act: Box::new(act) }
}

/// What disks, copies and people do to each file; nobody has adapted the manifest.
fn of_bytes() -> Vec<Damage> {
    type Edit = fn(Vec<u8>) -> Vec<u8>;
    let edits: [(&str, Edit); 7] = [
        ("cut in half", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("emptied", |_| Vec::new()),
        ("a bit flipped at the start", |mut bytes| {
            bytes[0] ^= 1;
            bytes
        }),
        ("a bit flipped in the middle", |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            bytes
        }),
        ("a bit flipped at the end", |mut bytes| {
            *bytes.last_mut().expect("no file is empty") ^= 0x80;
            bytes
        }),
        ("a byte too long", |mut bytes| {
            bytes.push(b'\n');
            bytes
        }),
        ("all zeroes", |bytes| vec![0; bytes.len()]),
    ];
    let mut damages = Vec::new();
    for file in FILES {
        for (what, edit) in edits {
            let act = move |folder: &Path| {
                let path = folder.join(file);
                Ok(fs::write(&path, edit(fs::read(&path)?))?)
            };
            damages.push(damage(format!("{file} {what}"), file, act));
        }
        damages.push(damage(format!("{file} missing"), file, move |folder| {
            Ok(fs::remove_file(folder.join(file))?)
        }));
        damages.push(damage(format!("{file} a folder"), file, move |folder| {
            fs::remove_file(folder.join(file))?;
            Ok(fs::create_dir(folder.join(file))?)
        }));
    }
    damages.push(damage("nothing there", MANIFEST, |folder| Ok(fs::remove_dir_all(folder)?)));
    damages.push(damage("a manifest of a tebibyte", MANIFEST, |folder| sparse(folder, MANIFEST)));
    damages.push(damage("commits of a tebibyte", COMMITS, |folder| sparse(folder, COMMITS)));
    damages
}

/// Manifests whose own hash is right.
fn of_manifests() -> Vec<Damage> {
    let edit =
        |name: &str, edit: fn(&mut Value)| damage(name, MANIFEST, move |folder| edit_manifest(folder, edit));
    vec![
        edit("a newer format", |manifest| manifest["format"] = json!(2)),
        edit("no format", |manifest| remove(manifest, "format")),
        edit("a format of zero", |manifest| manifest["format"] = json!(0)),
        edit("a huge format", |manifest| manifest["format"] = json!(u64::MAX)),
        edit("another job", |manifest| manifest["job"] = json!("others")),
        edit("another checkpoint", |manifest| manifest["checkpoint"] = json!(1_000_000)),
        edit("another incarnation", |manifest| manifest["incarnation"] = json!(7)),
        edit("another cluster", |manifest| manifest["cluster_id"] = json!("somewhere")),
        edit("commits not named", |manifest| remove(&mut manifest["files"], COMMITS)),
        edit("no files", |manifest| manifest["files"] = json!({})),
        edit("files as a list", |manifest| manifest["files"] = json!([])),
        edit("a huge size", |manifest| manifest["files"][COMMITS]["bytes"] = json!(u64::MAX)),
        edit("a size of a tebibyte", |manifest| manifest["files"][COMMITS]["bytes"] = json!(1_u64 << 40)),
        edit("a negative size", |manifest| manifest["files"][COMMITS]["bytes"] = json!(-1)),
        edit("a list", |manifest| *manifest = json!([manifest.take()])),
        edit("nested a hundred thousand times", |manifest| *manifest = json!("NESTED")),
        damage("a manifest that is not UTF-8", MANIFEST, |folder| {
            fs::write(folder.join(MANIFEST), b"{\"format\": 1, \"id\": \"\xff\xfe\"}")?;
            seal(folder)
        }),
        damage("a file twice", MANIFEST, |folder| {
            let text = fs::read_to_string(folder.join(MANIFEST))?;
            let entry = format!("\"files\":{{\"{COMMITS}\":{{\"bytes\":1,\"sha256\":\"\"}},");
            fs::write(folder.join(MANIFEST), text.replacen("\"files\":{", &entry, 1))?;
            seal(folder)
        }),
        damage("a wrong hash", COMMITS, |folder| {
            edit_manifest(folder, |manifest| manifest["files"][COMMITS]["sha256"] = json!("0".repeat(64)))
        }),
        damage("a wrong size", JOB, |folder| {
            edit_manifest(folder, |manifest| manifest["files"][JOB]["bytes"] = json!(3))
        }),
        damage("the hash of another file", HASH, |folder| {
            let line = fs::read_to_string(folder.join(HASH))?;
            Ok(fs::write(folder.join(HASH), line.replace(MANIFEST, COMMITS))?)
        }),
    ]
}

/// Names that lead elsewhere, or to nothing. Their files are there and sound where that is possible at all.
fn of_names() -> Vec<Damage> {
    let many = (0..20).map(|n| format!("extra-{n}")).collect::<Vec<_>>();
    let names = [
        "../outside.json",
        "/etc/hostname",
        "a/b.json",
        "..",
        ".",
        "",
        ".hidden",
        "a\\b",
        "a\0b",
        MANIFEST,
        HASH,
        "é",
    ];
    let mut damages: Vec<_> = names
        .into_iter()
        .map(|name| {
            damage(format!("a file named {name:?}"), MANIFEST, move |folder| names_too(folder, &[name]))
        })
        .collect();
    damages.push(damage("twenty files more", MANIFEST, move |folder| {
        names_too(folder, &many.iter().map(String::as_str).collect::<Vec<_>>())
    }));
    damages.push(damage("a file more that is not there", "extra.json", |folder| {
        names_too(folder, &["extra.json"])
    }));
    damages.push(damage("a file more with a wrong hash", "extra.json", |folder| {
        fs::write(folder.join("extra.json"), "y")?;
        names_too(folder, &["extra.json"])
    }));
    damages
}

/// One file, by somebody who has adapted every size and hash.
fn edited(name: &str, file: &'static str, edit: fn(&mut Value)) -> Damage {
    damage(name, file, move |folder| edit_file(folder, file, edit))
}

fn of_commits() -> Vec<Damage> {
    vec![
        edited("commits of a newer format", COMMITS, |commits| commits["format"] = json!(2)),
        edited("a commit of another job", COMMITS, |commits| commits["commits"][0]["job"] = json!("others")),
        edited("a commit less", COMMITS, |commits| {
            commits["commits"].as_array_mut().map(|commits| commits.remove(0));
        }),
        edited("a commit twice", COMMITS, |commits| {
            let first = commits["commits"][0].clone();
            commits["commits"].as_array_mut().map(|commits| commits.push(first)).unwrap_or_default();
        }),
        edited("no commits", COMMITS, |commits| commits["commits"] = json!([])),
        edited("a commit of a later incarnation", COMMITS, |commits| {
            commits["commits"][0]["incarnation"] = json!(9)
        }),
        edited("more rows", COMMITS, |commits| commits["commits"][0]["files"][0]["rows"] = json!(1_000_000)),
        edited("a file outside the tables", COMMITS, |commits| {
            commits["commits"][0]["files"][0]["path"] = json!("../../outside.parquet");
        }),
        edited("an absolute file", COMMITS, |commits| {
            commits["commits"][0]["files"][0]["path"] = json!("/etc/passwd")
        }),
        edited("a file of the job's own state", COMMITS, |commits| {
            commits["commits"][0]["files"][0]["path"] = json!("_tidegate/x/checkpoints/1.json");
        }),
        edited("a staged file elsewhere", COMMITS, |commits| {
            commits["commits"][0]["files"][0]["staged"] = json!("../x")
        }),
        edited("a commit's id that is a path", COMMITS, |commits| {
            commits["commits"][0]["id"] = json!("../../x")
        }),
        edited("a file without a hash", COMMITS, |commits| {
            commits["commits"][0]["files"][0]["sha256"] = json!("none")
        }),
        edited("a file named twice", COMMITS, |commits| {
            commits["commits"][1]["files"][0]["path"] = commits["commits"][0]["files"][0]["path"].clone();
        }),
    ]
}

/// The checkpoint is what was changed; the file that the error names is the one that contradicts it.
fn of_checkpoints() -> Vec<Damage> {
    vec![
        edited("a checkpoint of a newer format", CHECKPOINT, |state| state["format"] = json!(99)),
        edited("a checkpoint of another job", MANIFEST, |_| ())
            .then(CHECKPOINT, |state| state["job"] = json!("others")),
        edited("positions moved on", COMMITS, |_| ()).then(CHECKPOINT, |state| move_on(state, 1)),
        edited("positions moved back", COMMITS, |_| ()).then(CHECKPOINT, |state| move_on(state, -1)),
        edited("a position below its start", COMMITS, |_| ())
            .then(CHECKPOINT, |state| move_on(state, -1_000_000)),
        edited("an unpublished commit that is not there", COMMITS, |_| ())
            .then(CHECKPOINT, |state| state["unpublished"] = json!(["0123"])),
        edited("cuts without incarnations", COMMITS, |_| ())
            .then(CHECKPOINT, |state| state["cuts"] = json!([{}])),
        edited("a checkpoint without partitions", CHECKPOINT, |state| remove(state, "partitions")),
        edited("a partition without a name", CHECKPOINT, |state| {
            state["partitions"]["nowhere"] = json!({"start": 0, "next": 0, "rows": 0});
        }),
    ]
}

fn of_json() -> Vec<Damage> {
    let mut damages = vec![edited("a job that is a list", JOB, |job| *job = json!([1]))];
    for file in [CHECKPOINT, COMMITS, JOB] {
        damages.push(edited(&format!("{file} nested a hundred thousand times"), file, |value| {
            *value = json!("NESTED");
        }));
        damages.push(damage(format!("{file} that is not UTF-8"), file, move |folder| {
            fs::write(folder.join(file), b"{\"format\": 1, \"job\": \"\xff\"}")?;
            reseal(folder)
        }));
        damages.push(damage(format!("{file} with something after its end"), file, move |folder| {
            let text = fs::read_to_string(folder.join(file))? + "{}";
            fs::write(folder.join(file), text)?;
            reseal(folder)
        }));
    }
    damages
}

impl Damage {
    /// The same with another file edited.
    fn then(self, file: &'static str, edit: fn(&mut Value)) -> Self {
        Self { act: Box::new(move |folder| edit_file(folder, file, edit)), ..self }
    }
}

fn remove(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(key);
    }
}

fn move_on(state: &mut Value, by: i64) {
    for partition in state["partitions"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        partition["next"] = json!(partition["next"].as_i64().unwrap_or_default() + by);
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Far more than this machine has, and nothing of it on disk.
fn sparse(folder: &Path, file: &str) -> Result<()> {
    Ok(fs::OpenOptions::new().write(true).open(folder.join(file))?.set_len(1 << 40)?)
}

fn read(folder: &Path, file: &str) -> Result<Value> {
    serde_json::from_slice(&fs::read(folder.join(file))?).with_context(|| file.to_owned())
}

fn write(folder: &Path, file: &str, value: &Value) -> Result<()> {
    let nested = || format!("{{\"format\":1,\"deep\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let text = if *value == json!("NESTED") { nested() } else { value.to_string() };
    Ok(fs::write(folder.join(file), text)?)
}

fn edit_manifest(folder: &Path, edit: impl Fn(&mut Value)) -> Result<()> {
    let mut manifest = read(folder, MANIFEST)?;
    edit(&mut manifest);
    write(folder, MANIFEST, &manifest)?;
    seal(folder)
}

fn edit_file(folder: &Path, file: &str, edit: impl Fn(&mut Value)) -> Result<()> {
    let mut value = read(folder, file)?;
    edit(&mut value);
    write(folder, file, &value)?;
    reseal(folder)
}

/// Has the manifest name more files, each with the size and hash of the text `x`,
/// which is written where it can be.
fn names_too(folder: &Path, names: &[&str]) -> Result<()> {
    fs::write(folder.with_file_name("outside.json"), "x")?;
    edit_manifest(folder, |manifest| {
        for name in names {
            if *name != "extra.json" && !name.contains(['\0', '/']) && !FILES.contains(name) {
                // A name that is no file's at all is refused all the same.
                let _ = fs::write(folder.join(name), "x");
            }
            manifest["files"][*name] = json!({"bytes": 1, "sha256": sha256(b"x")});
        }
    })
}

/// Has the manifest's hash be right.
fn seal(folder: &Path) -> Result<()> {
    let manifest = fs::read(folder.join(MANIFEST))?;
    Ok(fs::write(folder.join(HASH), format!("{}  {MANIFEST}\n", sha256(&manifest)))?)
}

/// Has everything be right that can be computed.
fn reseal(folder: &Path) -> Result<()> {
    edit_manifest(folder, |manifest| {
        for file in [CHECKPOINT, COMMITS, JOB] {
            let bytes = fs::read(folder.join(file)).unwrap_or_default();
            manifest["files"][file] = json!({"bytes": bytes.len(), "sha256": sha256(&bytes)});
        }
    })
}
