//! The command `handclasp token`: signs a token, or says what a token permits.

use std::io::Read;
use std::time::{Duration, Instant};

use clap::Args;
use handclasp::auth::{GrantLists, TokenRequest, Tokens};
use handclasp::config::Auth;

use crate::{Options, print};

const TOKEN_EXAMPLES: &str = "\
Examples:
  handclasp token --sub u7 --config handclasp.toml                    permits what any client may, for one hour
  handclasp token --sub u7 --peers u7 'u7-*' --signal '*' --ttl 8h    owns the ids u7 and u7-..., signals to all
  handclasp token --sub u7 --join 'team-7-*' --publish                listens in the rooms of a team
  handclasp token --check < token.txt                                 says what a token permits

The token is signed with the first of auth.secrets. Without --peers, --signal, --join,
--publish and --info, it permits what any client may. With one of them, it permits only what is listed.
A name that ends in * stands for all names with that beginning.";

/// The longest life of a signed token: the longest session that a node can allow.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How much of the standard input is read, in bytes: more than the longest token.
const MAX_INPUT: u64 = 65_536;

/// Sign a token with the first of auth.secrets, or say what a token permits
#[derive(Args)]
#[command(after_help = TOKEN_EXAMPLES)]
pub(crate) struct TokenArgs {
    /// Who the token is for: its claim sub
    #[arg(long, value_name = "NAME", required_unless_present = "check", conflicts_with = "check")]
    sub: Option<String>,
    /// Peer ids that the client may own
    #[arg(long, value_name = "ID", num_args = 0.., conflicts_with = "check")]
    peers: Option<Vec<String>>,
    /// Peer ids to which the client may send signals, and which it may watch
    #[arg(long, value_name = "ID", num_args = 0.., conflicts_with = "check")]
    signal: Option<Vec<String>>,
    /// Rooms and Socket.IO namespaces that the client may join
    #[arg(long, value_name = "ROOM", num_args = 0.., conflicts_with = "check")]
    join: Option<Vec<String>>,
    /// Rooms in which the client may speak; without a name, none [default: all that it may join]
    #[arg(long, value_name = "ROOM", num_args = 0.., conflicts_with = "check")]
    publish: Option<Vec<String>>,
    /// What presence lists say about the client: a JSON object such as '{"name":"Mai"}'
    #[arg(long, value_name = "JSON", value_parser = info, conflicts_with = "check")]
    info: Option<serde_json::Map<String, serde_json::Value>>,
    /// How long the token is valid, from 1s to 30d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime, conflicts_with = "check")]
    ttl: Duration,
    /// Check TOKEN, or a token from the standard input
    #[arg(long)]
    check: bool,
    /// The token to check; a token in the standard input is not shown to other users of the machine
    #[arg(value_name = "TOKEN", requires = "check")]
    token: Option<String>,
    #[command(flatten)]
    options: Options,
}

fn info(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_str(text).map_err(|_| r#"must be a JSON object, such as {"name":"Mai"}"#.to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time));
    time.ok_or_else(|| "must be a time from 1s to 30d, such as 90m".to_owned())
}

impl TokenArgs {
    pub(crate) fn run(self) -> Result<(), String> {
        let auth = self.options.read()?.auth;
        let mut tokens = Tokens::from_config(&auth).map_err(|error| error.to_string())?;
        match self.check {
            true => {
                tokens.start_reading_keys(&auth).map_err(|error| error.to_string())?;
                tokens.read_revocations(&auth).map_err(|error| error.to_string())?;
                check(&tokens, &auth, self.token)
            }
            false => {
                let Self { sub, peers, signal, join, publish, info, ttl, .. } = self;
                let lists = GrantLists { peers, signal, join, publish, info, turn: None };
                let grants = Some(lists).filter(|lists| *lists != GrantLists::default());
                let request = TokenRequest { subject: sub.unwrap_or_default(), lifetime: ttl, grants };
                print(&tokens.sign(&request)?);
                Ok(())
            }
        }
    }
}

/// Prints what a token permits.
fn check(tokens: &Tokens, auth: &Auth, given: Option<String>) -> Result<(), String> {
    if auth.secrets.is_empty() && auth.jwks.is_none() {
        return Err("there is no key to check it with: set auth.secrets or auth.jwks".to_owned());
    }
    let token = match given {
        Some(token) => token,
        None => {
            let (mut text, mut input) = (String::new(), std::io::stdin().take(MAX_INPUT));
            input.read_to_string(&mut text).map_err(|error| format!("the standard input cannot be read: {error}"))?;
            text
        }
    };
    if let Some(why) = tokens.keys_problem() {
        eprintln!("handclasp: warning: auth.jwks: {why}");
    }
    let access = tokens.check(token.trim()).map_err(|error| error.to_string())?;
    print(&format!("ok       {:?}", access.subject()));
    let left = Duration::from_secs(access.expires_in(Instant::now()).as_secs());
    print(&format!("expires  in {}", humantime::format_duration(left)));
    print(&access.to_string());
    Ok(())
}
