//! The queues of SQS that `queue.url` names. Does not ask SQS whether they are there.

use url::Url;

/// The name of queues that are given without account and region: `sqs://NAME`.
#[must_use]
pub fn named(url: &Url) -> Option<&str> {
    let is_all = matches!(url.path(), "" | "/");
    url.host_str().filter(|name| url.scheme() == "sqs" && is_all && !name.is_empty())
}

/// The queue with `-SUFFIX` added to its name, for a URL that says where the queue is.
#[must_use]
pub fn beside(base: &Url, suffix: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}-{suffix}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_from_one_url() {
        for base in
            ["https://sqs.eu-central-1.amazonaws.com/1/orders", "https://sqs.eu-central-1.amazonaws.com/1/orders/"]
        {
            let url = beside(&Url::parse(base).unwrap(), "clean-dead");
            assert_eq!(url.as_str(), "https://sqs.eu-central-1.amazonaws.com/1/orders-clean-dead");
        }
    }

    #[test]
    fn queues_without_an_account_have_a_name_alone() {
        let named = |text: &str| named(&Url::parse(text).unwrap()).map(str::to_owned);
        assert_eq!(named("sqs://Orders_of-2026").as_deref(), Some("Orders_of-2026"));
        assert_eq!((named("sqs://a/b"), named("https://sqs.eu-central-1.amazonaws.com/1/orders")), (None, None));
    }
}
