//! Answers for OMDb's JSON: how a row of the file reads in the API's own words, strings for numbers and `N/A` for nothing.
//!
//! Does not decide which film is meant.

use serde_json::{Map, Value, json};

use crate::films::Film;

const NOTHING: &str = "N/A";

/// A refusal in OMDb's form.
pub(crate) fn refusal(error: &str) -> Value {
    json!({ "Response": "False", "Error": error })
}

/// The whole answer for a film, in the order of OMDb's own fields.
pub(crate) fn found(film: &Film) -> Value {
    let text = |column: &str| film.get(column).map(str::to_owned);
    let rating = film.get("imdb_rating").map(one_decimal);
    let mut answer = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        answer.insert(name.to_owned(), value.unwrap_or_else(|| NOTHING.to_owned()).into());
    };
    put("Title", text("title"));
    put("Year", film.year().map(str::to_owned));
    put("Rated", text("rated"));
    put("Released", film.get("release_date").and_then(day_first));
    put("Runtime", film.get("runtime_min").map(|minutes| format!("{minutes} min")));
    put("Genre", film.get("genre").map(genres));
    put("Director", text("director"));
    for unknown in ["Writer", "Actors", "Plot", "Language", "Country", "Awards", "Poster"] {
        put(unknown, None);
    }
    put("Ratings", None);
    put("Metascore", None);
    put("imdbRating", rating.clone());
    put("imdbVotes", film.get("imdb_votes").map(grouped));
    put("imdbID", Some(film.imdb_id()));
    put("Type", Some("movie".to_owned()));
    put("DVD", None);
    put("BoxOffice", film.get("us_gross_usd").map(dollars));
    put("Production", text("distributor"));
    put("Website", None);
    put("Response", Some("True".to_owned()));
    put("Budget", film.get("budget_usd").map(dollars));
    put("WorldwideGross", film.get("worldwide_gross_usd").map(dollars));
    answer.insert("Ratings".to_owned(), ratings(film, rating.as_deref()));
    answer.extend(film.fields.clone());
    Value::Object(answer)
}

fn ratings(film: &Film, imdb: Option<&str>) -> Value {
    let imdb = imdb.map(|value| json!({ "Source": "Internet Movie Database", "Value": format!("{value}/10") }));
    let tomatoes =
        film.get("rotten_tomatoes").map(|value| json!({ "Source": "Rotten Tomatoes", "Value": format!("{value}%") }));
    imdb.into_iter().chain(tomatoes).collect()
}

/// `Oct 14 1994` → `14 Oct 1994`
fn day_first(date: &str) -> Option<String> {
    let (month, rest) = date.split_once(' ')?;
    let (day, year) = rest.split_once(' ')?;
    Some(format!("{day} {month} {year}"))
}

/// The file has one genre a film, some of them compound; OMDb has comma lists.
fn genres(genre: &str) -> String {
    match genre {
        "Romantic Comedy" => "Romance, Comedy".to_owned(),
        "Black Comedy" => "Comedy, Dark Comedy".to_owned(),
        other => other.replace('/', ", "),
    }
}

fn one_decimal(rating: &str) -> String {
    if rating.contains('.') || rating.parse::<u8>().is_err() { rating.to_owned() } else { format!("{rating}.0") }
}

fn dollars(amount: &str) -> String {
    format!("${}", grouped(amount))
}

/// `28767189` → `28,767,189`; what is no number stays as it is.
fn grouped(digits: &str) -> String {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.to_owned();
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_threes() {
        assert_eq!(grouped("0"), "0");
        assert_eq!(grouped("999"), "999");
        assert_eq!(grouped("1000"), "1,000");
        assert_eq!(dollars("28767189"), "$28,767,189");
        assert_eq!(grouped("about 5"), "about 5");
    }

    #[test]
    fn ratings_always_have_a_decimal() {
        assert_eq!(one_decimal("8"), "8.0");
        assert_eq!(one_decimal("6.1"), "6.1");
        assert_eq!(one_decimal("N/A"), "N/A");
    }

    #[test]
    fn compound_genres_become_lists() {
        assert_eq!(genres("Thriller/Suspense"), "Thriller, Suspense");
        assert_eq!(genres("Romantic Comedy"), "Romance, Comedy");
        assert_eq!(genres("Drama"), "Drama");
    }

    #[test]
    fn the_day_comes_first() {
        assert_eq!(day_first("Oct 14 1994").as_deref(), Some("14 Oct 1994"));
        assert_eq!(day_first("1994"), None);
    }
}
