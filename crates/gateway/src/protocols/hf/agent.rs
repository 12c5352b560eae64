//! What a user agent can be told, and when. It selects where a refusal is shown, never whether.

/// A client, as far as its user agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Version of `huggingface_hub` (Python), if it is that: major, minor.
    pub hf_hub: Option<(u32, u32)>,
}

impl Agent {
    /// Reads a `User-Agent` header.
    pub fn parse(user_agent: &str) -> Self {
        // `hf_hub/` with an underscore is the Python library; `hf-hub/` is the Rust crate.
        let version = user_agent.split("hf_hub/").nth(1).map(|rest| {
            let mut parts = rest.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse().unwrap_or(0));
            (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
        });
        Self { hf_hub: version }
    }

    /// True if HEAD is metadata to this client and the reason of a refusal is shown on GET.
    pub fn refuse_on_get_only(self) -> bool {
        self.hf_hub.is_some()
    }

    /// True if the client honours `429` with `Retry-After` on GET (≥ 1.33).
    pub fn honours_retry_after(self) -> bool {
        self.hf_hub.is_some_and(|v| v >= (1, 33))
    }

    /// True if the client follows a chain of 18 relative redirects. Others (Go and reqwest stop at 10) are held.
    pub fn follows_hops(self) -> bool {
        self.hf_hub.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents() {
        let new = Agent::parse("transformers/5.23.0; hf_hub/2.4.0; python/3.11.7; torch/2.9");
        assert_eq!(new.hf_hub, Some((2, 4)));
        assert!(new.honours_retry_after() && new.refuse_on_get_only());
        assert!(Agent::parse("unknown/None; hf_hub/1.33.0").honours_retry_after());
        let old = Agent::parse("unknown/None; hf_hub/0.36.2; python/3.11");
        assert!(!old.honours_retry_after() && old.follows_hops());
        for other in ["hf-hub/1.0.0 (rust)", "curl/8.0", "", "llama-cpp/b1"] {
            assert!(!Agent::parse(other).refuse_on_get_only(), "{other}");
        }
        assert_eq!(Agent::parse("hf_hub/").hf_hub, Some((0, 0)));
    }
}
