//! Users by name and password, as HTTP's basic authentication has them (RFC 7617).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

use super::config::Text;
use super::passwords::{Busy, Passwords};

/// Those that may ask. Without any, everybody may.
#[derive(Default)]
pub struct Users(Option<Known>);

struct Known {
    hashes: HashMap<String, String>,
    /// Compared with where there is no such user: it takes as long, and no password has it.
    nobody: String,
    key: hmac::Key,
    cache: Mutex<Cache>,
}

/// Who is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Without name and password, or with wrong ones.
    Unknown,
    /// For now: too many passwords are compared.
    Busy,
}

/// What was compared, by tags: neither passwords nor anything to try them by is kept.
#[derive(Default)]
struct Cache {
    /// The last of each user that was right.
    right: HashMap<String, Tag>,
    /// The last that were wrong.
    wrong: VecDeque<Tag>,
}

type Tag = [u8; 32];

const WRONG: usize = 100;

/// bcrypt's costs that are taken: one more doubles the time.
const COSTS: std::ops::RangeInclusive<u32> = 4..=18;

impl Users {
    /// Users with the hashes of their passwords.
    pub fn of(users: Vec<(String, Text)>) -> anyhow::Result<Self> {
        let mut highest = None;
        for (_, hash) in &users {
            let parts: HashParts = hash.value.parse().map_err(|error| hash.wrong(error))?;
            let cost = parts.get_cost();
            if !COSTS.contains(&cost) {
                return Err(hash.wrong(format_args!("its cost {cost} is not from 4 to 18")));
            }
            highest = highest.max(Some(cost));
        }
        let Some(cost) = highest else { return Ok(Self(None)) };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Ok(Self(Some(Known {
            hashes: users.into_iter().map(|(name, hash)| (name, hash.value)).collect(),
            nobody: format!("$2b${cost:02}${}", ".".repeat(53)),
            key: key.ok().context("no random numbers")?,
            cache: Mutex::default(),
        })))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |known| known.hashes.len())
    }

    /// Lets a request of a client pass, or not.
    pub async fn admit(
        &self,
        client: IpAddr,
        headers: &HeaderMap,
        passwords: Option<&Passwords>,
    ) -> Result<(), Refused> {
        let Some(known) = &self.0 else { return Ok(()) };
        let (name, password) = credentials(headers).ok_or(Refused::Unknown)?;
        let hash = known.hashes.get(&name);
        let compared = hash.unwrap_or(&known.nobody);
        let tag = known.tag(&name, compared, &password);
        if let Some(is_right) = known.remembered(&name, &tag) {
            return if is_right { Ok(()) } else { Err(Refused::Unknown) };
        }
        let passwords = passwords.ok_or(Refused::Busy)?;
        let is_it = passwords.is(client, &password, compared).await;
        let is_right = is_it.map_err(|Busy| Refused::Busy)? && hash.is_some();
        known.remember(name, tag, is_right);
        if is_right { Ok(()) } else { Err(Refused::Unknown) }
    }
}

impl Known {
    fn tag(&self, name: &str, hash: &str, password: &[u8]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name.as_bytes(), hash.as_bytes(), password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut tag = Tag::default();
        // SHA-256 is as long.
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn remembered(&self, name: &str, tag: &Tag) -> Option<bool> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.right.get(name) == Some(tag) {
            return Some(true);
        }
        cache.wrong.contains(tag).then_some(false)
    }

    fn remember(&self, name: String, tag: Tag, is_right: bool) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if is_right {
            // One of each user that there is.
            cache.right.insert(name, tag);
            return;
        }
        if cache.wrong.len() >= WRONG {
            cache.wrong.pop_front();
        }
        cache.wrong.push_back(tag);
    }
}

/// Name and password of a request.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(pair[..colon].to_vec()).ok()?;
    Some((name, pair[colon + 1..].to_vec()))
}
