//! Answers for OMDb's manner of speaking: fields, strings for numbers, refusals, quota.
//!
//! Does not test faults (`faults.rs`).

mod client;

use client::{KEY, client, control, json, options, started};
use omdb_stub::{Options, Stub};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_film_reads_as_omdb_writes_it() {
    let stub = started().await;
    let (status, film) = json(&stub, "t=The+Shawshank+Redemption&y=1994").await;
    assert_eq!(status, 200);
    let names: Vec<&str> = film.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "Title",
            "Year",
            "Rated",
            "Released",
            "Runtime",
            "Genre",
            "Director",
            "Writer",
            "Actors",
            "Plot",
            "Language",
            "Country",
            "Awards",
            "Poster",
            "Ratings",
            "Metascore",
            "imdbRating",
            "imdbVotes",
            "imdbID",
            "Type",
            "DVD",
            "BoxOffice",
            "Production",
            "Website",
            "Response",
            "Budget",
            "WorldwideGross"
        ]
    );
    assert_eq!(film["Title"], "The Shawshank Redemption");
    assert_eq!(film["Year"], "1994");
    assert_eq!(film["Rated"], "R");
    assert_eq!(film["Released"], "23 Sep 1994");
    assert_eq!(film["Genre"], "Drama");
    assert_eq!(film["Director"], "Frank Darabont");
    assert_eq!(film["Writer"], "N/A");
    assert_eq!(film["imdbRating"], "9.2");
    assert_eq!(film["imdbVotes"], "519,541");
    assert_eq!(film["BoxOffice"], "$28,241,469");
    assert_eq!(film["Budget"], "$25,000,000");
    assert_eq!(film["Type"], "movie");
    assert_eq!(film["Response"], "True");
    assert_eq!(
        film["Ratings"],
        json!([
            {"Source": "Internet Movie Database", "Value": "9.2/10"},
            {"Source": "Rotten Tomatoes", "Value": "88%"}
        ])
    );
}

#[tokio::test]
async fn the_made_up_id_finds_the_same_film() {
    let stub = started().await;
    let (_, by_title) = json(&stub, "t=alien&y=1979").await;
    let id = by_title["imdbID"].as_str().unwrap();
    let (_, by_id) = json(&stub, &format!("i={id}")).await;
    assert_eq!(by_title, by_id);
}

#[tokio::test]
async fn title_matching_ignores_case_and_the_year_must_fit() {
    let stub = started().await;
    assert_eq!(json(&stub, "t=ALIEN&y=1979").await.1["Title"], "Alien");
    let (status, answer) = json(&stub, "t=Alien&y=1980").await;
    assert_eq!(status, 200);
    assert_eq!(answer, json!({"Response": "False", "Error": "Movie not found!"}));
    assert_eq!(json(&stub, "t=Alien&y=1979&type=series").await.1["Response"], "False");
}

#[tokio::test]
async fn without_a_year_the_best_known_of_several_answers() {
    let stub = started().await;
    let (_, any) = json(&stub, "t=The+Italian+Job").await;
    let (_, old) = json(&stub, "t=The+Italian+Job&y=1969").await;
    let (_, new) = json(&stub, "t=The+Italian+Job&y=2003").await;
    assert_ne!(old["imdbID"], new["imdbID"]);
    assert_eq!(any, new);
}

#[tokio::test]
async fn refusals_use_omdb_s_words() {
    let stub = started().await;
    for (query, error) in [
        ("t=No+Such+Film", "Movie not found!"),
        ("i=1234", "Incorrect IMDb ID."),
        ("t=", "Incorrect IMDb ID."),
        ("i=tt0000001", "Error getting data."),
        ("i=tt9999999", "Error getting data."),
    ] {
        let (status, answer) = json(&stub, query).await;
        assert_eq!(status, 200, "{query}");
        assert_eq!(answer, json!({"Response": "False", "Error": error}), "{query}");
    }
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_401() {
    let stub = started().await;
    for (query, error) in [("?apikey=wrong&t=Alien", "Invalid API key!"), ("?t=Alien", "No API key provided.")] {
        let response = client().get(format!("{}{query}", stub.url())).send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.text().await.unwrap().contains(error));
    }
    let stats = stub.stats();
    assert_eq!(stats.keys.get("wrong"), Some(&1));
    assert_eq!(stats.by_status.get("401"), Some(&2));
}

#[tokio::test]
async fn the_quota_runs_out_and_can_be_renewed() {
    let stub = Stub::start(Options { quota: Some(1), ..options() }).await.unwrap();
    assert_eq!(json(&stub, "t=Alien").await.0, 200);
    let (status, answer) = json(&stub, "t=Alien").await;
    assert_eq!(status, 401);
    assert_eq!(answer["Error"], "Request limit reached!");
    assert_eq!(control(&stub, Method::POST, "quota/reset", None).await.0, 204);
    assert_eq!(json(&stub, "t=Alien").await.0, 200);
    let none = json!({"limit": null});
    assert_eq!(control(&stub, Method::POST, "quota", Some(none)).await.0, 204);
    assert_eq!(json(&stub, "t=Alien").await.0, 200);
}

#[tokio::test]
async fn a_film_can_be_changed_removed_and_restored() {
    let stub = started().await;
    let change = json!({
        "title": "Alien", "year": "1979",
        "set": {"imdb_rating": "9.9", "us_gross_usd": "", "Year": "1979–1980"}
    });
    assert_eq!(control(&stub, Method::POST, "films", Some(change)).await.0, 204);
    let (_, film) = json(&stub, "t=Alien&y=1979").await;
    assert_eq!(film["imdbRating"], "9.9");
    assert_eq!(film["BoxOffice"], "N/A");
    assert_eq!(film["Year"], "1979–1980");

    let name = json!({"title": "Alien", "year": "1979"});
    assert_eq!(control(&stub, Method::DELETE, "films", Some(name)).await.0, 204);
    assert_eq!(json(&stub, "t=Alien&y=1979").await.1["Error"], "Movie not found!");

    assert_eq!(control(&stub, Method::POST, "films/restore", None).await.0, 204);
    assert_eq!(json(&stub, "t=Alien&y=1979").await.1["imdbRating"], "8.5");
}

#[tokio::test]
async fn a_change_that_means_nothing_is_refused() {
    let stub = started().await;
    for change in [
        json!({"title": "Alien", "year": "1979", "set": {"imdb_ratng": "9.9"}}),
        json!({"title": "No Such Film", "year": "1979", "set": {}}),
    ] {
        let (status, answer) = control(&stub, Method::POST, "films", Some(change)).await;
        assert_eq!(status, 422);
        assert!(answer["error"].is_string());
    }
}

#[tokio::test]
async fn stats_tell_calls_by_film_status_and_key() {
    let stub = started().await;
    for query in ["t=Alien&y=1979", "t=Alien&y=1979", "t=Nothing"] {
        json(&stub, query).await;
    }
    let (_, stats) = control(&stub, Method::GET, "stats", None).await;
    assert_eq!(stats["calls"], 3);
    assert_eq!(stats["by_status"], json!({"200": 3}));
    assert_eq!(stats["keys"][KEY], 3);
    assert_eq!(stats["in_flight"], 0);
    assert_eq!(stub.stats().calls_for("Alien", "1979"), 2);
    assert_eq!(control(&stub, Method::DELETE, "stats", None).await.0, 204);
    assert_eq!(stub.stats().calls, 0);
}

#[tokio::test]
async fn every_row_with_a_title_is_found() {
    let stub = started().await;
    assert_eq!(stub.films(), 3201);
    let client = client();
    let mut found = 0;
    for row in csv::Reader::from_path(options().films).unwrap().records() {
        let row = row.unwrap();
        let year = row[1].rsplit(' ').next().unwrap();
        let asked = [("apikey", KEY), ("t", &row[0]), ("y", year)];
        let url = reqwest::Url::parse_with_params(&stub.url(), asked).unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        if row[0].is_empty() {
            assert_eq!(answer["Error"], "Incorrect IMDb ID.");
        } else {
            assert_eq!(answer["Response"], "True", "{row:?}");
            found += 1;
        }
    }
    assert_eq!(found, 3200);
}

#[tokio::test]
async fn after_stop_nobody_answers() {
    let stub = started().await;
    let url = stub.url();
    json(&stub, "t=Alien").await;
    stub.stop().await;
    assert!(client().get(url).send().await.is_err());
}
