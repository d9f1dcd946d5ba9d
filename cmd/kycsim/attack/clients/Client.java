import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;

/** Sends each request of the plan as often as told, by both clients of the JDK, and prints what was read of each answer: NAME, a tab, and a status or the name of an error. */
public final class Client {
  public static void main(String[] args) {
    String base = "http://" + args[0] + ":" + args[1];
    int times = Integer.parseInt(args[2]);
    for (String text : Arrays.copyOfRange(args, 3, args.length)) {
      // name, method, path, size, body in base64 or nothing, chunked or not, and a name and a value for each header
      String[] p = text.split("\t", -1);
      byte[] body = p[4].isEmpty() ? new byte[Integer.parseInt(p[3])] : Base64.getDecoder().decode(p[4]);
      int n = p[4].isEmpty() ? times : 1;
      for (int i = 0; i < n; i++) {
        System.out.println(p[0] + "\t" + newer(base, p, body));
        if (n > 1) {
          System.out.println(p[0] + "\t" + older(base, p, body));
        }
      }
    }
  }

  static String newer(String base, String[] p, byte[] body) {
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(base + p[2])).timeout(Duration.ofSeconds(20));
    for (int i = 6; i + 1 < p.length; i += 2) {
      b.header(p[i], p[i + 1]);
    }
    boolean chunked = p[5].equals("chunked"); // whose length a stream does not know
    b.method(p[1], chunked ? HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body)) : HttpRequest.BodyPublishers.ofByteArray(body));
    try {
      return String.valueOf(client.send(b.build(), HttpResponse.BodyHandlers.ofString()).statusCode());
    } catch (IOException | InterruptedException e) {
      return e.getClass().getSimpleName();
    }
  }

  static String older(String base, String[] p, byte[] body) {
    try {
      HttpURLConnection c = (HttpURLConnection) URI.create(base + p[2]).toURL().openConnection();
      c.setRequestMethod(p[1]);
      c.setDoOutput(true);
      c.setReadTimeout(20_000);
      for (int i = 6; i + 1 < p.length; i += 2) {
        c.setRequestProperty(p[i], p[i + 1]);
      }
      if (p[5].equals("chunked")) {
        c.setChunkedStreamingMode(1000);
      } else {
        c.setFixedLengthStreamingMode(body.length);
      }
      try (OutputStream out = c.getOutputStream()) {
        out.write(body);
      }
      return String.valueOf(c.getResponseCode());
    } catch (IOException e) {
      return e.getClass().getSimpleName();
    }
  }
}
