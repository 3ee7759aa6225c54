import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef.ConfigKey;
import org.apache.kafka.common.config.SaslConfigs;
import org.apache.kafka.common.config.SecurityConfig;
import org.apache.kafka.common.config.SslConfigs;

/**
 * Prints every setting that the Java producer, the Java admin client and the classes of settings that they share
 * have, one a line: name, type, default, and what values it takes. A name that is in a class of settings, but that
 * neither client takes, has `-` for its type.
 */
public class ClientKeys {
    public static void main(String[] arguments) throws Exception {
        TreeMap<String, String> lines = new TreeMap<>();
        List<Class<?>> classes = List.of(ProducerConfig.class, AdminClientConfig.class, CommonClientConfigs.class,
            SslConfigs.class, SaslConfigs.class, SecurityConfig.class);
        for (Class<?> one : classes) {
            for (Field field : one.getFields()) {
                boolean constant = Modifier.isStatic(field.getModifiers()) && field.getType() == String.class;
                if (constant && field.getName().endsWith("_CONFIG")) lines.put((String) field.get(null), "-\t-\t-");
            }
        }
        for (Map<String, ConfigKey> keys : List.of(AdminClientConfig.configDef().configKeys(), ProducerConfig.configDef().configKeys())) {
            for (ConfigKey key : keys.values()) {
                String validator = String.valueOf(key.validator).replaceAll("\\s+", " ");
                if (validator.contains("@")) validator = "a rule of its own";
                String value = key.hasDefault() ? String.valueOf(key.defaultValue) : "none";
                lines.put(key.name, key.type + "\t" + value + "\t" + validator);
            }
        }
        lines.forEach((name, line) -> System.out.println(name + "\t" + line));
    }
}
