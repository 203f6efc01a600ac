//! The account and region that this process uses in AWS: one configuration for every client, loaded once.
//!
//! Does not call any service beyond what the credentials need.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use thiserror::Error;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for the beginning of an answer, what is sent included. A long poll of a queue takes 20 s, 16 MiB at 200 kB/s take 80 s.
const READ: Duration = Duration::from_secs(90);

/// The defaults of the SDK as they were then: a newer SDK does not change retries or checksums by itself.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Why AWS cannot be used.
#[derive(Debug, Error)]
pub enum CloudError {
    /// No region is set.
    #[error("no region of AWS is set")]
    NoRegion,
}

impl CloudError {
    /// What to do about it: one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            CloudError::NoRegion => "set `AWS_REGION`, or `region` in the profile that `AWS_PROFILE` names",
        }
    }
}

/// Credentials, region and endpoints, found as every AWS tool finds them: environment, profile (keys, SSO, a process, a role), web identity,
/// container and instance metadata, in this order. `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_S3` (`_SQS`, `_SECRETS_MANAGER`) set other
/// endpoints, `AWS_MAX_ATTEMPTS` sets how often a call is tried.
///
/// Its `Debug` shows the region only.
#[derive(Clone)]
pub struct Cloud {
    config: SdkConfig,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("region", &self.config.region()).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Loads the configuration. Credentials are looked for at the first call that needs them.
    ///
    /// # Errors
    /// [`CloudError::NoRegion`] if no region is set.
    pub async fn load() -> Result<Self, CloudError> {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(READ).build();
        // What each client would otherwise make for itself, made once: connections, handshakes and the list of authorities.
        let http = aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
            let tls = Provider::Rustls(CryptoMode::AwsLc);
            let mut connector = Connector::builder().tls_provider(tls).proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            connector.build()
        });
        Cloud::of(aws_config::defaults(behavior()).timeout_config(timeouts).http_client(http).load().await)
    }

    /// Uses a configuration that is already there.
    ///
    /// # Errors
    /// [`CloudError::NoRegion`] if it names no region.
    pub fn of(config: SdkConfig) -> Result<Self, CloudError> {
        if config.region().is_none() {
            return Err(CloudError::NoRegion);
        }
        // A client without a behavior version panics.
        Ok(Cloud { config: config.into_builder().behavior_version(behavior()).build() })
    }

    /// A client of S3. An endpoint other than AWS's own is asked for buckets by path, since few of those have a host name for each bucket.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let elsewhere = self.config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(elsewhere);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// The address of S3.
    #[must_use]
    pub fn s3_address(&self) -> String {
        let elsewhere = std::env::var("AWS_ENDPOINT_URL_S3").ok();
        let region = self.config.region().map(Region::as_ref).unwrap_or_default();
        elsewhere
            .or_else(|| self.config.endpoint_url().map(str::to_owned))
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com/"))
    }

    /// A client of SQS, in another region than the configured one if the queue is there.
    pub(crate) fn sqs(&self, region: Option<&str>) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::config::Builder::from(&self.config);
        let config = match region {
            Some(region) => config.region(Region::new(region.to_owned())),
            None => config,
        };
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// A client of Secrets Manager.
    pub(crate) fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_region_it_says_what_to_set() {
        let error = Cloud::of(SdkConfig::builder().build()).unwrap_err();
        assert!(error.hint().contains("set `AWS_REGION`"), "{error}");
    }

    #[test]
    fn debug_shows_the_region_and_no_more() {
        let config = SdkConfig::builder().region(Region::new("eu-central-1")).build();
        let shown = format!("{:?}", Cloud::of(config).unwrap());
        assert!(shown.contains("eu-central-1") && shown.len() < 80, "{shown}");
    }
}
